// Asks a person's passkey or security key, and sends or shows what it answers; without a script people sign with SSH.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)));
const base64url = (buffer) => base64(buffer).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const known = (form) =>
  form.dataset.credentials.split(" ").filter(Boolean).map((id) => ({ type: "public-key", id: bytes(id) }));
const LONGEST_MS = 120000;
const FLAGS = 32; // the byte of authenticator data that says what kind of key it is
const COPIED = 8;

function why(error) {
  if (error.name === "NotAllowedError") return "the key was not used, or it could not make sure that it was you.";
  if (error.name === "SecurityError") return "this page's address is not one that the keys are made for.";
  if (error.name === "InvalidStateError") return "this key is known already.";
  if (error.name === "Copied") return "an account copies this key between devices. Take a security key.";
  return `the browser says ${error.name}.`;
}

function ready(form, act) {
  const button = form.querySelector("button");
  const said = document.getElementById("key-said");
  const say = (words) => {
    said.textContent = words;
    said.hidden = !words;
  };
  document.getElementById("no-script").hidden = true;
  button.hidden = false;
  button.addEventListener("click", async () => {
    say("");
    button.disabled = true;
    try {
      if (!window.PublicKeyCredential) throw new DOMException("", "SecurityError");
      await act();
    } catch (error) {
      say(`Nothing was done: ${why(error)}`);
    } finally {
      button.disabled = false;
    }
  });
}

// What the key signs is the digest of the statement that stands on this page.
const approval = document.querySelector("form[data-approve]");
if (approval) {
  ready(approval, async () => {
    const statement = new TextEncoder().encode(document.getElementById("statement").textContent);
    const answered = await navigator.credentials.get({
      publicKey: {
        challenge: await crypto.subtle.digest("SHA-256", statement),
        rpId: approval.dataset.approve,
        allowCredentials: known(approval),
        userVerification: "required",
        timeout: LONGEST_MS,
      },
    });
    approval.elements.credential.value = base64url(answered.rawId);
    approval.elements.authenticator_data.value = base64url(answered.response.authenticatorData);
    approval.elements.client_data.value = base64url(answered.response.clientDataJSON);
    approval.elements.signature.value = base64url(answered.response.signature);
    approval.requestSubmit();
  });
}

// Nothing of a new key is sent anywhere: what people put into operators.yaml is all that counts.
const making = document.querySelector("form[data-make]");
if (making) {
  ready(making, async () => {
    const { make: rpId, person } = making.dataset;
    const made = await navigator.credentials.create({
      publicKey: {
        challenge: crypto.getRandomValues(new Uint8Array(32)),
        rp: { id: rpId, name: "ASL Guard" },
        user: { id: new TextEncoder().encode(person), name: person, displayName: person },
        pubKeyCredParams: [{ type: "public-key", alg: -7 }, { type: "public-key", alg: -8 }],
        authenticatorSelection: { userVerification: "required", residentKey: "discouraged" },
        excludeCredentials: known(making),
        attestation: "none",
        timeout: LONGEST_MS,
      },
    });
    const key = made.response.getPublicKey();
    if (!key) throw new DOMException("", "NotSupportedError");
    const flags = new Uint8Array(made.response.getAuthenticatorData())[FLAGS];
    if (flags & COPIED && !("synced" in making.dataset)) throw new DOMException("", "Copied");
    const lines = document.getElementById("lines");
    lines.value = [
      "    passkeys:",
      `      - credential: ${base64url(made.rawId)}`,
      `        public_key: ${base64(key)}`,
      "",
    ].join("\n");
    document.getElementById("made").hidden = false;
    lines.focus();
  });
}

"""What two people must agree to, and the proof that they did: orders, signatures over them, and who may sign.

``order`` is the statement and its one written form, ``sshsig`` a signature as ``ssh-keygen -Y sign`` makes it,
``webauthn`` what a passkey answers in its place,
``verify`` whose signatures count, ``used`` that an order is used once, ``folder`` the files beside a configuration, and
``port`` what the rest of the guard asks: `Approvals`. Source: requirements rows D2, G1 and A12.
"""

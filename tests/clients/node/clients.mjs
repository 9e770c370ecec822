// The Node libraries, driven line by line: a question comes as JSON on standard input, `{"came": true}` goes out when
// text of a stream has come, and `{"seen": …}` or `{"fault": …}` when it is over. tests/clients/lines.py is the other end.
import readline from "node:readline";
import Anthropic from "@anthropic-ai/sdk";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";

globalThis.AI_SDK_LOG_WARNINGS = false;

// How often a library sends again is looked at, not how long it waits in between: half a second to the hour that
// `retry-after` may name. Limits of requests (minutes) and undici's own clock must stay right.
const later = globalThis.setTimeout;
const waits = (ms) => (ms >= 100 && ms <= 60_000) || ms > 1_000_000;
globalThis.setTimeout = (work, ms, ...rest) =>
  later(work, waits(ms) && !new Error().stack.includes("undici") ? 1 : ms, ...rest);

const say = (value) => process.stdout.write(JSON.stringify(value) + "\n");

class Taken {
  text = "";
  finish = null;
  take(text, finish) {
    this.text += text ?? "";
    this.finish = finish ?? this.finish;
    if (text) say({ came: true });
  }
}

const messages = (ask) => [{ role: "user", content: ask.prompt }];
const openai = (ask) => new OpenAI({ baseURL: `${ask.url}/v1`, apiKey: ask.key });
const anthropic = (ask) => new Anthropic({ baseURL: ask.url, apiKey: ask.key });
const bad = (ask) => (ask.bad ? { temperature: 9 } : {});
const finishOf = (response) =>
  response.incomplete_details ? `${response.status}: ${response.incomplete_details.reason}` : response.status;

async function openaiChat(ask, taken) {
  const body = { model: ask.model, messages: messages(ask), ...bad(ask) };
  if (!ask.streamed) {
    const { choices } = await openai(ask).chat.completions.create(body);
    return taken.take(choices[0].message.content, choices[0].finish_reason);
  }
  for await (const chunk of await openai(ask).chat.completions.create({ ...body, stream: true })) {
    for (const choice of chunk.choices) taken.take(choice.delta.content, choice.finish_reason);
  }
}

async function openaiResponses(ask, taken) {
  const body = { model: ask.model, input: ask.prompt, ...bad(ask) };
  if (!ask.streamed) {
    const answer = await openai(ask).responses.create(body);
    return taken.take(answer.output_text, finishOf(answer));
  }
  for await (const event of await openai(ask).responses.create({ ...body, stream: true })) {
    if (event.type === "response.output_text.delta") taken.take(event.delta);
    if (["response.completed", "response.incomplete", "response.failed"].includes(event.type)) {
      taken.take("", finishOf(event.response));
    }
  }
}

async function anthropicMessages(ask, taken) {
  const body = { model: ask.model, max_tokens: 64, messages: messages(ask), ...bad(ask) };
  if (!ask.streamed) {
    const answer = await anthropic(ask).messages.create(body);
    return taken.take(answer.content.map((block) => block.text ?? "").join(""), answer.stop_reason);
  }
  const stream = anthropic(ask).messages.stream(body);
  stream.on("text", (text) => taken.take(text));
  const final = await stream.finalMessage();
  taken.take("", final.stop_reason);
}

const compatible = (ask) => createOpenAICompatible({ name: "guard", baseURL: `${ask.url}/v1`, apiKey: ask.key });
const claude = (ask) => createAnthropic({ baseURL: `${ask.url}/v1`, apiKey: ask.key });

async function vercel(model, wrong, ask, taken) {
  const asked = { model, prompt: ask.prompt, maxOutputTokens: 64, ...(ask.bad ? wrong : {}) };
  if (!ask.streamed) {
    const { text, finishReason } = await generateText(asked);
    return taken.take(text, finishReason);
  }
  let failure;
  const stream = streamText({ ...asked, onError: ({ error }) => (failure = error) });
  for await (const part of stream.fullStream) {
    if (part.type === "text-delta") taken.take(part.text);
    if (part.type === "finish") taken.take("", part.finishReason);
  }
  if (failure !== undefined) throw failure;
}

const clients = {
  "openai chat": openaiChat,
  "openai responses": openaiResponses,
  "anthropic messages": anthropicMessages,
  "vercel compatible": (ask, taken) => vercel(compatible(ask)(ask.model), { temperature: 9 }, ask, taken),
  "vercel anthropic": (ask, taken) => vercel(claude(ask)(ask.model), { topK: -1 }, ask, taken),
};

// What an error says, wherever each library keeps it. What the AI SDK finds in a stream is an object and no Error.
function told(problem) {
  if (!(problem instanceof Error)) return { error: "error part", code: codeOf(problem) };
  const inner = problem.lastError ?? problem;
  const body = typeof inner.responseBody === "string" ? JSON.parse(inner.responseBody) : inner;
  const name = problem.name.startsWith("AI_") ? problem.name : problem.constructor.name;
  return { error: name, status: inner.status ?? inner.statusCode ?? null, code: codeOf(body) };
}

function codeOf(body) {
  const error = body.error?.error ?? body.error ?? body;
  return error.details?.error_code ?? error.code ?? null;
}

async function look(ask) {
  const taken = new Taken();
  let problem = {};
  try {
    await clients[ask.client](ask, taken);
  } catch (error) {
    problem = told(error);
  }
  return { text: taken.text, finish: taken.finish, error: null, status: null, code: null, ...problem };
}

// Uses as the libraries' own documents show them; each returns what the test compares.
const weather = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const asked = [{ role: "user", content: "the weather?" }];

const uses = {
  async "openai tools"(ask) {
    const body = { model: ask.model, tools: [{ type: "function", function: { name: "weather", parameters: weather } }] };
    const { message } = (await openai(ask).chat.completions.create({ ...body, messages: asked })).choices[0];
    const results = message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "sun" }));
    const next = await openai(ask).chat.completions.create({ ...body, messages: [...asked, message, ...results] });
    return { calls: message.tool_calls.map((call) => call.function.name), text: next.choices[0].message.content };
  },
  async "openai responses stream"(ask) {
    const stream = openai(ask).responses.stream({ model: ask.model, input: "a place" });
    const final = await stream.finalResponse();
    return { text: final.output_text, status: final.status };
  },
  async "openai models"(ask) {
    return (await openai(ask).models.list()).data.map((model) => model.id);
  },
  async "anthropic tools"(ask) {
    const tools = [{ name: "weather", input_schema: weather }];
    const stream = anthropic(ask).messages.stream({ model: ask.model, max_tokens: 2000, messages: asked, tools });
    const final = await stream.finalMessage();
    return { input: final.content.find((block) => block.type === "tool_use").input, reason: final.stop_reason };
  },
  async "anthropic models"(ask) {
    const found = [];
    for await (const model of anthropic(ask).models.list()) found.push(model.id);
    return found;
  },
  async "vercel tools"(ask) {
    const calls = [];
    const execute = ({ city }) => (calls.push(city), "sun");
    const tools = { weather: tool({ description: "the weather", inputSchema: jsonSchema(weather), execute }) };
    const model = compatible(ask)(ask.model);
    const { text, steps } = await generateText({ model, tools, prompt: "the weather?", stopWhen: stepCountIs(3) });
    return { calls, text, steps: steps.length };
  },
  async "vercel object"(ask) {
    const provider = createOpenAICompatible({
      ...{ name: "guard", baseURL: `${ask.url}/v1`, apiKey: ask.key },
      supportsStructuredOutputs: true,
    });
    const schema = jsonSchema(weather);
    return (await generateObject({ model: provider(ask.model), schema, prompt: "a place" })).object;
  },
};

process.on("unhandledRejection", (problem) => say({ fault: `unhandled: ${problem?.stack ?? problem}` }));

for await (const line of readline.createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  try {
    say(ask.use ? { used: await uses[ask.use](ask) } : { seen: await look(ask) });
  } catch (problem) {
    say({ fault: String(problem?.stack ?? problem) });
  }
}

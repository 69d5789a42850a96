// Calls one tool with a TypeScript SDK of the Model Context Protocol, and prints what came back as JSON.
//
// usage: node call.mjs '{"sdk": 1 | 2, "era": "legacy" | "modern", "command": [...] | "url": "...",
//                        "tool": "...", "arguments": {...}, "timeout": milliseconds}'

const request = JSON.parse(process.argv[2]);

async function connectV1(info) {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const { StdioClientTransport } = await import("@modelcontextprotocol/sdk/client/stdio.js");
  const { StreamableHTTPClientTransport } = await import("@modelcontextprotocol/sdk/client/streamableHttp.js");
  return connect(new Client(info), StdioClientTransport, StreamableHTTPClientTransport);
}

async function connectV2(info) {
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const mode = request.era === "modern" ? { pin: "2026-07-28" } : "legacy";
  const client = new Client(info, { versionNegotiation: { mode } });
  return connect(client, StdioClientTransport, StreamableHTTPClientTransport);
}

async function connect(client, Stdio, Http) {
  const [command, ...args] = request.command ?? [];
  await client.connect(request.url ? new Http(new URL(request.url)) : new Stdio({ command, args, stderr: "ignore" }));
  return client;
}

const client = await (request.sdk === 1 ? connectV1 : connectV2)({ name: "foreign", version: "1.0.0" });
const call = { name: request.tool, arguments: request.arguments ?? {} };
const progress = [];
const options = {
  timeout: request.timeout,
  resetTimeoutOnProgress: true,
  onprogress: (update) => progress.push(update),
};
const answer = {};
try {
  answer.tools = (await client.listTools()).tools.map((tool) => tool.name);
  answer.result = request.sdk === 1
    ? await client.callTool(call, undefined, options)
    : await client.callTool(call, options);
} catch (error) {
  answer.error = String(error);
}
console.log(JSON.stringify({ ...answer, progress }));
await client.close();

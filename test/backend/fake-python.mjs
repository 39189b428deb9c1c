// Stands in for `python -m specdojo_worker`: a worker with the faults that FAKE_MODE names.
import { spawn } from "node:child_process";
import { createServer } from "node:http";

const mode = process.env.FAKE_MODE ?? "good";
const args = process.argv.slice(2);

if (mode === "import-error") {
  process.stderr.write("Traceback (most recent call last):\nModuleNotFoundError: No module named 'torch'\n");
  process.exit(1);
}
process.stderr.write(`args ${JSON.stringify(args)}\n`);
process.stdout.write("loading\n");
if (mode === "deaf") process.on("SIGTERM", () => process.stderr.write("not yet\n"));
if (mode === "family") {
  const child = spawn(
    process.execPath,
    ["-e", "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000)"],
    {
      stdio: "inherit",
    },
  );
  process.stderr.write(`grandchild ${child.pid}\n`);
}

const server = createServer(async (request, response) => {
  let text = "";
  for await (const chunk of request) text += chunk;
  const path = request.url.replace("/api/v1/", "");
  if (request.headers["x-api-key"] !== process.env.SPECDOJO_WORKER_TOKEN) {
    response.writeHead(401).end('{"detail":"wrong token"}');
    return;
  }
  if (path === "retrieve_future" && mode === "dies") {
    process.stderr.write("RuntimeError: the weights are cursed\n");
    process.exit(3);
  }
  if (path === "retrieve_future" && mode === "killed") process.kill(process.pid, "SIGKILL");
  const replies = {
    create_session: { session_id: "s" },
    create_model: { request_id: "r" },
    retrieve_future: { model_id: `m ${text.length > 0}` },
  };
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(replies[path] ?? {}));
});
if (mode === "never") setInterval(() => process.stderr.write("still loading\n"), 20);
else
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    process.stdout.write(`${JSON.stringify({ port, pid: process.pid, device: "cpu", dtype: "float32" })}\n`);
  });

import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { SpecdojoError } from "../util/errors.js";
import type { Capabilities } from "./capabilities.js";
import { storageProblem } from "./storage.js";
import { extractTar } from "./tar.js";
import { connectionProblem, type Transport } from "./transport.js";
import { archiveReply, checkpointsReply } from "./wire.js";

/** Statuses that mean "the archive is not made yet". */
const notYet = new Set([408, 409, 425, 429, 500, 502, 503, 504]);

/** Downloads a checkpoint's archive and writes its files into `dir`, all or none. */
export async function downloadArchive(
  transport: Transport,
  path: string,
  dir: string,
  archiveId: Capabilities["archiveId"],
): Promise<void> {
  const urls = checkpointUrls(path, archiveId).map((url) => `${url}/archive`);
  const target = resolve(dir);
  const partial = join(dirname(target), `.${basename(target)}.partial-${process.pid}`);
  const patience = transport.patience();
  try {
    for (;;) {
      const body = await openFirst(transport, urls, path);
      await rm(partial, { recursive: true, force: true });
      await mkdir(partial, { recursive: true });
      try {
        await extractTar(Readable.fromWeb(body), partial);
        break;
      } catch (error) {
        // Only a cut connection is worth another try.
        if (!(error instanceof TypeError)) throw error;
        await patience.wait(connectionProblem(transport.baseUrl, error));
      }
    }
    await mkdir(target, { recursive: true });
    for (const entry of await readdir(partial)) {
      await rm(join(target, entry), { recursive: true, force: true });
      await rename(join(partial, entry), join(target, entry));
    }
  } catch (error) {
    throw storageProblem(error, target) ?? error;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function openFirst(
  transport: Transport,
  urls: readonly string[],
  path: string,
): Promise<ReadableStream<Uint8Array>> {
  for (const url of urls) {
    const response = await openArchive(transport, url);
    if (response?.body) return response.body;
  }
  throw new SpecdojoError("checkpoint-unknown", "The server has no such checkpoint.", {
    place: path,
    remedy: "Check the path; hosted checkpoints may have expired.",
  });
}

/** Deletes a checkpoint. One that the server does not know, or will not delete, stays without a word. */
export async function deleteArchive(
  transport: Transport,
  path: string,
  archiveId: Capabilities["archiveId"],
): Promise<void> {
  const [url] = checkpointUrls(path, archiveId);
  if (url === undefined) return;
  const response = await transport.fetchRaw(transport.url(url), { method: "DELETE", authorized: true });
  await response.body?.cancel();
}

/** Whether the list of the run's checkpoints has this one, in whichever spelling. */
export async function holdsCheckpoint(transport: Transport, path: string): Promise<boolean> {
  const { run, name } = parsePath(path);
  const url = transport.url(`training_runs/${encodeURIComponent(run)}/checkpoints`);
  const response = await transport.fetchRaw(url, { authorized: true });
  if (!response.ok) {
    await response.body?.cancel();
    if (response.status === 404) return false;
    throw refused(response, url);
  }
  const { checkpoints } = checkpointsReply.parse(await response.json());
  return checkpoints.some(({ checkpoint_id }) => checkpoint_id.split("/").at(-1) === name);
}

/** Where the server may have the checkpoint: its own spelling first. */
function checkpointUrls(path: string, archiveId: Capabilities["archiveId"]): string[] {
  const { run, type, name } = parsePath(path);
  const typed = `${type}/${encodeURIComponent(name)}`;
  const bare = encodeURIComponent(name);
  const ids = archiveId === "typed" ? [typed, bare] : [bare, typed];
  return ids.map((id) => `training_runs/${encodeURIComponent(run)}/checkpoints/${id}`);
}

/** `tinker://RUN/weights/NAME`, `tinker://RUN/sampler_weights/NAME`, or SkyRL's `tinker://RUN/NAME`. */
function parsePath(path: string): { run: string; type: string; name: string } {
  const [run, ...rest] = path.startsWith("tinker://") ? path.slice("tinker://".length).split("/") : [];
  const name = rest.at(-1);
  if (run === undefined || run === "" || name === undefined || name === "" || rest.length > 2)
    throw new SpecdojoError("checkpoint-unknown", `"${path}" is not the path of a checkpoint.`, {
      place: path,
      remedy: "Give a path that saveState or saveForSampler returned, like tinker://RUN/weights/NAME.",
    });
  return { run, type: rest.length === 2 ? (rest[0] as string) : "sampler_weights", name };
}

/** The archive's bytes; undefined for 404. Follows a redirect or a `{url}`, with credentials for the same origin only. */
async function openArchive(transport: Transport, path: string): Promise<Response | undefined> {
  const patience = transport.patience();
  const own = transport.url(path);
  for (;;) {
    const response = await transport.fetchRaw(own, { redirect: "manual", authorized: true });
    if (response.status === 404) return undefined;
    let location = response.headers.get("location");
    if (notYet.has(response.status)) {
      await response.body?.cancel();
      await patience.wait(refused(response, own));
      continue;
    }
    if (response.status === 200) {
      if (!(response.headers.get("content-type") ?? "").includes("json")) return response;
      location = archiveReply.parse(await response.json()).url;
    }
    if (location === null) throw refused(response, own);
    const url = new URL(location, own);
    const archive = await transport.fetchRaw(url.href, {
      authorized: url.origin === new URL(transport.baseUrl).origin,
    });
    if (archive.ok) return archive;
    if (!notYet.has(archive.status)) throw refused(archive, `${url.origin}${url.pathname}`);
    await archive.body?.cancel();
    await patience.wait(refused(archive, `${url.origin}${url.pathname}`));
  }
}

const refused = (response: Response, place: string): SpecdojoError =>
  new SpecdojoError(
    "backend-failed",
    `The server answered ${response.status} to a question about a checkpoint.`,
    {
      place,
      remedy: "Look at the server's log, then try again.",
    },
  );

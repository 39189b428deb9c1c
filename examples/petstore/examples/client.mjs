// Real calls from a document alone: arguments are checked, outcomes are values, credentials come from a function.
import assert from "node:assert/strict";
import { buildToolMenu, createClient, loadOpenApi, unwrap } from "specdojo";
import { document, serve } from "./_server.mjs";

const api = await serve(({ url }) =>
  url === "/pet/3" ? [200, { id: 3, name: "Rex", photoUrls: [] }] : [404, { message: "no such pet" }],
);
const client = createClient(buildToolMenu(await loadOpenApi(document)), {
  baseUrl: api.url,
  credentials: ({ scheme }) => (scheme === "api_key" ? "key-of-this-user" : undefined),
});

const pet = unwrap(await client.getPetById({ petId: 3 }));
assert.equal(pet.name, "Rex");
assert.equal(api.seen[0].headers.api_key, "key-of-this-user");

const missing = await client.getPetById({ petId: 4 });
assert.equal(missing.error.kind, "http");
assert.equal(missing.error.status, 404);

const wrong = await client.getPetById({ petId: "four" });
assert.deepEqual(wrong.error.issues, [{ pointer: "/petId", message: "must be integer" }]);
assert.equal(api.seen.length, 2);

const plan = client.dryRun("addPet", { name: "Rex", photoUrls: [] });
assert.equal(plan.request.method, "POST");
api.close();

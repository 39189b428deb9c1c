import { buildToolMenu, loadOpenApi, type ToolMenu } from "../../src/openapi/index.js";

const number = { type: "integer", minimum: 1, maximum: 9999 };
const ok = { "200": { description: "Done" } };
const inPath = (name: string) => ({ name, in: "path", required: true, schema: number });

/** A made-up library: four operations in three domains, with values that the toy policy can say and read. */
export const libraryDocument = {
  openapi: "3.0.3",
  info: { title: "Town library", version: "1.0" },
  paths: {
    "/books": {
      get: {
        operationId: "listBooks",
        tags: ["books"],
        summary: "List all books",
        parameters: [
          { name: "shelf", in: "query", schema: number },
          { name: "limit", in: "query", schema: number },
        ],
        responses: ok,
      },
    },
    "/books/{bookId}": {
      get: {
        operationId: "getBook",
        tags: ["books"],
        summary: "Show one book",
        parameters: [inPath("bookId")],
        responses: ok,
      },
    },
    "/loans": {
      post: {
        operationId: "createLoan",
        tags: ["loans"],
        summary: "Create a loan",
        requestBody: {
          required: true,
          content: {
            "application/json": {
              schema: {
                type: "object",
                required: ["copyId", "memberId"],
                properties: { copyId: number, memberId: number },
                additionalProperties: false,
              },
            },
          },
        },
        responses: ok,
      },
    },
    "/members/{memberId}": {
      delete: {
        operationId: "removeMember",
        tags: ["members"],
        summary: "Remove a member",
        parameters: [inPath("memberId")],
        responses: ok,
      },
    },
  },
};

export const libraryMenu = async (): Promise<ToolMenu> =>
  buildToolMenu(await loadOpenApi(structuredClone(libraryDocument)));

// GET /problems/{code}: where the `type` of a problem leads.

import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { longestPathPart } from '../server/paths.js';
import { type ProblemCode, problemCodes } from './problem-codes.js';
import { Problem, problemResponses } from './problems.js';

export function problemPages(app: FastifyInstance): void {
  app.get<{ Params: { code: string } }>(
    '/problems/:code',
    {
      schema: {
        operationId: 'explainProblem',
        summary: 'What a problem means',
        description: "The `type` of every problem document is this page's address.",
        security: [],
        tags: ['Operations'],
        params: Type.Object({ code: Type.String({ maxLength: longestPathPart }) }),
        response: {
          200: { description: 'The meaning', content: { 'text/html': { schema: Type.String() } } },
          ...problemResponses('invalid_request', 'not_found'),
        },
      },
    },
    async ({ params }, reply) => {
      if (!Object.hasOwn(problemCodes, params.code)) {
        throw new Problem('not_found', `There is no problem ${JSON.stringify(params.code.slice(0, 60))}.`);
      }
      const csp = "default-src 'none'; frame-ancestors 'none'";
      return reply
        .type('text/html; charset=utf-8')
        .header('content-security-policy', csp)
        .send(page(params.code as ProblemCode));
    },
  );
}

function page(code: ProblemCode): string {
  const { status, title, meaning } = problemCodes[code];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<h1>${title}</h1>
<p><code>${code}</code>, HTTP status ${status}: ${meaning}.</p>
<p>The answer's <code>detail</code> says it of the request, and <code>errors</code> of its fields.</p>
</html>
`;
}

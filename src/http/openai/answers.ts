// What POST /v1/images/edits answers: OpenAI's shapes of pictures, events and errors.

import { encodePreview } from '../../image/encode.js';
import type { Narrator } from '../pictures/events.js';
import type { Made, MadePicture, Plan } from '../pictures/making.js';
import type { Parameters } from '../pictures/parameters.js';
import { problemKind } from '../problems/problem-codes.js';
import type { Problem, ProblemShape } from '../problems/problems.js';
import { type EditBody, noUsage } from './fields.js';

const now = () => Math.floor(Date.now() / 1000);

function about({ size, values }: Parameters, { quality = 'auto' }: EditBody) {
  return { background: 'opaque', output_format: values.format, quality, size: `${size.width}x${size.height}` };
}

const picture = ({ bytes, parameters }: MadePicture) => ({
  b64_json: bytes.toString('base64'),
  seed: parameters.values.seed,
});

export function edited({ pictures }: Made, body: EditBody) {
  return {
    created: now(),
    data: pictures.filter(({ blocked }) => !blocked).map(picture),
    ...about(pictures[0]!.parameters, body),
    usage: noUsage,
  };
}

/** Previews of the first picture, evenly spread over its steps, then every picture. */
export function editEvents(body: EditBody, plan: Plan): Narrator {
  const { parameters } = plan.pictures[0]!;
  const { size, values, schedule } = parameters;
  const wanted = body.partial_images ?? 0;
  const atSteps = Array.from({ length: wanted }, (_, i) => Math.floor(((i + 1) * schedule.stepsRun) / (wanted + 1)));
  let sent = 0;
  return {
    async progress(events, progress) {
      if (progress.phase === 'queued' || progress.job > 0 || !progress.preview) return;
      if (!atSteps.includes(progress.step) || events.isBehind) return;
      const type = 'image_edit.partial_image';
      const b64_json = (await encodePreview(progress.preview, values.format, size)).toString('base64');
      const index = sent++;
      events.send(type, { type, b64_json, created_at: now(), ...about(parameters, body), partial_image_index: index });
    },
    made(events, { pictures }) {
      const type = 'image_edit.completed';
      for (const one of pictures.filter(({ blocked }) => !blocked)) {
        events.send(type, { type, created_at: now(), ...picture(one), ...about(one.parameters, body), usage: noUsage });
      }
    },
    failed: (events, problem) => events.send('error', openAiError(problem)),
  };
}

const typeOf = (status: number) =>
  status >= 500 ? 'server_error' : status === 429 ? 'rate_limit_error' : 'invalid_request_error';

export function openAiError(problem: Problem) {
  const type = problem.code === 'content_blocked' ? 'image_generation_user_error' : typeOf(problem.status);
  const param = problem.more.errors?.[0]?.pointer.replace(/^#\/?/, '') || null;
  return { error: { message: problem.message, type, param, code: problemKind(problem.code).openAi ?? problem.code } };
}

export const openAiShape: ProblemShape = { type: 'application/json', body: openAiError };

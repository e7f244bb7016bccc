// What the routes of /sdapi answer: the web UI's shapes of pictures, `info` and errors.

import { Type } from 'typebox';
import type { Made, MadePicture } from '../pictures/making.js';
import type { Parameters } from '../pictures/parameters.js';
import { flaggedIn } from '../pictures/report.js';
import type { ProblemCode } from '../problems/problem-codes.js';
import { type Problem, type ProblemShape, responsesFor } from '../problems/problems.js';
import type { WebuiBody } from './fields.js';
import type { Sampler, Schedule } from './samplers.js';

export const WebuiError = Type.Object(
  {
    error: Type.String({ description: 'A stable code; for programs' }),
    detail: Type.String({ description: 'A sentence for a person: field, value and limit' }),
    body: Type.String(),
    errors: Type.String({ description: 'The fields that are wrong' }),
  },
  { $id: 'WebuiError' },
);

export const webuiTags = ['AUTOMATIC1111'];
export const webuiResponses = (...codes: ProblemCode[]) =>
  responsesFor(codes, 'application/json', 'WebuiError', webuiError);
export const webuiJson = (description: string, schema: object) => ({
  200: { description, content: { 'application/json': { schema } } },
});

export const WebuiMade = Type.Object(
  {
    images: Type.Array(Type.String(), { description: 'PNG pictures in base64' }),
    parameters: Type.Object({}, { description: 'The request, without its pictures' }),
    info: Type.String({ description: 'What ran, as JSON in a string, with an infotext for each picture' }),
  },
  { $id: 'WebuiMade' },
);

/** How a request was understood. */
export interface Understood {
  readonly sampler: Sampler;
  readonly schedule: Schedule;
  readonly version: string;
}

export function webuiMade(body: WebuiBody, made: Made, understood: Understood) {
  const images = body.send_images === false ? [] : made.pictures.map(({ bytes }) => bytes.toString('base64'));
  const flagged = flaggedIn(made);
  const told = { ...info(body, made.pictures, understood), ...(flagged.length > 0 && { flagged }) };
  return { images, parameters: echo(body), info: JSON.stringify(told) };
}

/** The web UI answers an interrupted request with the pictures that are there; here that is none. */
export function webuiInterrupted(body: WebuiBody) {
  return { images: [], parameters: echo(body), info: JSON.stringify({ interrupted: true, infotexts: [] }) };
}

function echo(body: WebuiBody) {
  return body.include_init_images
    ? body
    : { ...body, init_images: null, ...(body.mask !== undefined && { mask: null }) };
}

function info({ batch_size = 1 }: WebuiBody, pictures: readonly MadePicture[], understood: Understood) {
  const { request, size } = pictures[0]!.parameters;
  const seeds = pictures.map(({ parameters }) => parameters.request.seed);
  const all = <T>(value: T) => pictures.map(() => value);
  return {
    prompt: request.prompt,
    all_prompts: all(request.prompt),
    negative_prompt: request.negativePrompt,
    all_negative_prompts: all(request.negativePrompt),
    seed: request.seed,
    all_seeds: seeds,
    subseed: 0,
    all_subseeds: all(0),
    subseed_strength: 0,
    width: size.width,
    height: size.height,
    sampler_name: understood.sampler.name,
    cfg_scale: request.guidanceScale,
    ...(request.imageGuidance !== undefined && { image_cfg_scale: request.imageGuidance }),
    steps: request.steps,
    batch_size,
    restore_faces: false,
    face_restoration_model: null,
    ...checkpointOf(pictures[0]!.parameters),
    sd_vae_name: null,
    sd_vae_hash: null,
    seed_resize_from_w: -1,
    seed_resize_from_h: -1,
    denoising_strength: request.strength,
    extra_generation_params: { 'Schedule type': label(understood.schedule) },
    index_of_first_image: 0,
    infotexts: pictures.map((picture) => infotext(picture, understood)),
    styles: [],
    job_timestamp: new Date().toISOString().replace(/\D/g, '').slice(0, 14),
    clip_skip: 1,
    is_using_inpainting_conditioning: false,
    version: understood.version,
  };
}

/** As its list has it: a model, or a generator over one. */
function checkpointOf({ values, model, generator }: Parameters) {
  return { sd_model_name: values.model, sd_model_hash: (generator ?? model).digest.slice(0, 10) };
}

/** The web UI's one text for one picture, which its clients can read back. */
function infotext({ parameters }: MadePicture, { sampler, schedule, version }: Understood): string {
  const { request, size } = parameters;
  const { sd_model_name, sd_model_hash } = checkpointOf(parameters);
  const facts: Record<string, string | number> = {
    Steps: request.steps,
    Sampler: sampler.name,
    'Schedule type': label(schedule),
    'CFG scale': request.guidanceScale,
    Seed: request.seed,
    Size: `${size.width}x${size.height}`,
    'Model hash': sd_model_hash,
    Model: sd_model_name,
    'Denoising strength': request.strength,
    ...(request.imageGuidance !== undefined && { 'Image CFG scale': request.imageGuidance }),
    Version: version,
  };
  return [
    request.prompt,
    ...(request.negativePrompt ? [`Negative prompt: ${request.negativePrompt}`] : []),
    Object.entries(facts)
      .map(([name, value]) => `${name}: ${value}`)
      .join(', '),
  ].join('\n');
}

export const label = (schedule: Schedule) => schedule[0]!.toUpperCase() + schedule.slice(1);

function webuiError(problem: Problem) {
  const errors = (problem.more.errors ?? []).map(({ pointer }) => pointer.replace(/^#\/?/, '')).join(', ');
  return { error: problem.code, detail: problem.message, body: '', errors };
}

export const webuiShape: ProblemShape = { type: 'application/json', body: webuiError };

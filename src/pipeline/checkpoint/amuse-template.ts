// amuse_template.json, which lies in the ONNX folders of TensorStack's Amuse: what it says, in the keys of img2img.json.
// Source: github.com/TensorStack-AI/OnnxStack, its enumerations and defaults.

import { Type } from 'typebox';
import { maxSide } from '../../model-facts.js';
import { checkJson, type Json } from '../folder/configs.js';
import { ModelFolderError, shown } from '../folder/model-folder-error.js';
import { maxSettingLength } from '../folder/schemas.js';

export const templateFile = 'amuse_template.json';

const text = Type.String({ maxLength: 100_000 });
const beta = Type.Number({ exclusiveMinimum: 0, exclusiveMaximum: 1 });
const Template = Type.Partial(
  Type.Object({
    Name: text,
    Description: text,
    LicenceType: text,
    StableDiffusionTemplate: Type.Partial(
      Type.Object({
        PipelineType: text,
        ModelType: text,
        SampleSize: Type.Integer({ minimum: 64, maximum: maxSide.native }),
        SchedulerDefaults: Type.Partial(
          Type.Object({
            SchedulerType: text,
            Steps: Type.Integer({ minimum: 1, maximum: 1000 }),
            Guidance: Type.Number({ minimum: 0, maximum: 30 }),
            TimestepSpacing: text,
            BetaSchedule: text,
            BetaStart: beta,
            BetaEnd: beta,
            PredictionType: text,
          }),
        ),
      }),
    ),
  }),
);

const pipelines = [
  'StableDiffusion',
  'StableDiffusion2',
  'StableDiffusionXL',
  'LatentConsistency',
  'LatentConsistencyXL',
] as const;
const schedulers = {
  LMS: 'LMSDiscreteScheduler',
  Euler: 'EulerDiscreteScheduler',
  EulerAncestral: 'EulerAncestralDiscreteScheduler',
  DDPM: 'DDPMScheduler',
  DDIM: 'DDIMScheduler',
  KDPM2: 'KDPM2DiscreteScheduler',
  KDPM2Ancestral: 'KDPM2AncestralDiscreteScheduler',
  LCM: 'LCMScheduler',
} as const;
const spacings = { Linspace: 'linspace', Leading: 'leading', Trailing: 'trailing' } as const;
const betaSchedules = {
  Linear: 'linear',
  ScaledLinear: 'scaled_linear',
  SquaredCosCapV2: 'squaredcos_cap_v2',
} as const;
const predictions = { Epsilon: 'epsilon', Sample: 'sample', VariablePrediction: 'v_prediction' } as const;

export interface AmuseTemplate {
  /** Keys of img2img.json and NAME.img2img.json. */
  readonly settings: Json;
  readonly refiner: boolean;
}

/** @throws ModelFolderError for another pipeline than Stable Diffusion's, and for what is out of range */
export function amuseTemplate(json: Json): AmuseTemplate {
  const template = withoutNulls(json);
  checkJson(templateFile, template, Template);
  const { Name: title, Description: description, LicenceType: license, StableDiffusionTemplate: own = {} } = template;
  const { SchedulerDefaults: scheduler = {}, ModelType: type } = own;
  const pipeline = one('PipelineType', own.PipelineType, Object.fromEntries(pipelines.map((name) => [name, name])));
  const consistent = pipeline?.startsWith('LatentConsistency');
  const prediction = one('PredictionType', scheduler.PredictionType, predictions);
  return {
    refiner: type === 'Refiner',
    settings: given({
      title: title?.trim() && title.slice(0, maxSettingLength.title),
      description: description?.slice(0, maxSettingLength.description),
      license: license?.slice(0, maxSettingLength.license),
      turbo: type === 'Turbo' || undefined,
      // Stable Diffusion 2's models are of both kinds; what is called the first one predicts noise.
      prediction_type: prediction ?? (pipeline === 'StableDiffusion' ? 'epsilon' : undefined),
      size: given({ native: own.SampleSize }),
      defaults: given({
        steps: scheduler.Steps ?? (consistent ? 4 : undefined),
        guidance: scheduler.Guidance ?? (consistent ? 1 : undefined),
      }),
      scheduler: given({
        _class_name: one('SchedulerType', scheduler.SchedulerType ?? (consistent ? 'LCM' : undefined), schedulers),
        timestep_spacing: one('TimestepSpacing', scheduler.TimestepSpacing, spacings),
        beta_schedule: one('BetaSchedule', scheduler.BetaSchedule, betaSchedules),
        beta_start: scheduler.BetaStart,
        beta_end: scheduler.BetaEnd,
      }),
    }),
  };
}

/** What a word of the template's means. */
function one(key: string, word: string | undefined, meanings: Readonly<Record<string, string>>): string | undefined {
  if (word === undefined) return undefined;
  if (Object.hasOwn(meanings, word)) return meanings[word];
  throw new ModelFolderError(
    `${templateFile} has the ${key} ${shown(word)}, which is not supported (supported: ${Object.keys(meanings).join(', ')})`,
  );
}

const given = (values: Json): Json =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** C# writes null for what is not said. @param depth of objects in objects that are looked into */
function withoutNulls(value: Json, depth = 2): Json {
  const isObject = (each: unknown) => typeof each === 'object' && !Array.isArray(each);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== null)
      .map(([key, each]) => [key, depth > 0 && isObject(each) ? withoutNulls(each, depth - 1) : each]),
  );
}

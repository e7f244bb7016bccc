// What the field `model` may name: the engine's models, and generators over them. Both come out as a model; of a generator it has
// the generator's defaults and sizes, and the engine's name.

import {
  type CatalogueEntry,
  createSchedule,
  type Engine,
  EngineError,
  type ModelInfo,
  UnsupportedSchedulerError,
} from '../../engine/host/engine.js';
import type { RequestRules } from '../../model-facts.js';
import type { Sent } from '../pictures/fields.js';
import { starterWeight } from '../pictures/starter-weight.js';
import { fieldProblem } from '../problems/problems.js';
import { type BrokenGenerator, type Generator, wholePrompt } from './generator.js';

export interface Choice {
  /** What a request names it by. */
  readonly name: string;
  /** As requests see it; under its own name the engine runs it. */
  readonly model: ModelInfo;
  readonly generator?: Generator | undefined;
}

export interface BrokenChoice {
  readonly name: string;
  /** A sentence without its end. */
  readonly reason: string;
}

/** Of generators in a sentence, how many are named. */
const maxNamed = 20;

export class Shelf {
  private readonly checked = new WeakMap<Generator, { readonly stamp: string; readonly problem: string | undefined }>();

  constructor(
    private readonly engine: Pick<Engine, 'models' | 'model' | 'lora' | 'defaultModel'>,
    private readonly generators: { readonly found: readonly (Generator | BrokenGenerator)[] },
    private readonly maxSteps: number,
  ) {}

  /** The engine's, those that cannot run among them. */
  get models(): readonly CatalogueEntry[] {
    return this.engine.models;
  }

  /** The name of the model of requests that name none; undefined while it cannot run. */
  get defaultModel(): string | undefined {
    return this.engine.defaultModel;
  }

  /** What there is beside the models; none while the models are not known. */
  get others(): readonly (Choice | BrokenChoice)[] {
    const { models } = this.engine;
    return models.length === 0 ? [] : this.generators.found.map((one) => this.open(one));
  }

  /** The generator of that name, where it can be used. */
  generator(name: string | undefined): Generator | undefined {
    const found = name === undefined ? undefined : this.others.find((one) => one.name === name);
    return found && 'model' in found ? found.generator : undefined;
  }

  /**
   * The model or generator of that name; without one the engine's default.
   * @throws EngineError model_not_found, model_not_runnable, not_ready
   */
  choose(name?: string): Choice {
    const generator =
      name === undefined ? undefined : this.generators.found.find((one) => nameOf(one, this.models) === name);
    if (!generator) return this.chooseModel(name);
    this.engine.model(); // not ready, and it says why
    const found = this.open(generator);
    if ('model' in found) return found;
    throw new EngineError('model_not_runnable', `The generator ${name} cannot be used: ${found.reason}.`);
  }

  /** What requests mean to the model or generator of that name; undefined where it cannot be chosen, for whatever reason. */
  rulesOf(name?: string): RequestRules | undefined {
    try {
      return this.choose(name).model.rules;
    } catch (error) {
      if (error instanceof EngineError) return undefined;
      throw error;
    }
  }

  private chooseModel(name?: string): Choice {
    try {
      const model = this.engine.model(name);
      return { name: model.name, model };
    } catch (error) {
      const more = this.others.filter((one) => 'model' in one).map((one) => one.name);
      if (!(error instanceof EngineError) || error.code !== 'model_not_found' || more.length === 0) throw error;
      const rest = more.length > maxNamed ? ` and ${more.length - maxNamed} more` : '';
      const named = `${more.slice(0, maxNamed).join(', ')}${rest}`;
      throw new EngineError(error.code, `${error.message.replace(/\.$/, '')}; generators: ${named}.`);
    }
  }

  private open(generator: Generator | BrokenGenerator): Choice | BrokenChoice {
    const name = nameOf(generator, this.models);
    const broken = (reason: string): BrokenChoice => ({ name, reason });
    if (name !== generator.name) return broken(`a model is called ${generator.name}: give its file another name`);
    if ('reason' in generator) return broken(generator.reason);
    const base = this.models.find((model) => model.name === generator.base);
    if (!base) {
      const isGenerator = this.generators.found.some((one) => one.name === generator.base);
      const why = isGenerator ? 'is a generator itself; it must be a model' : 'is not in MODELS_DIR';
      return broken(`its base ${generator.base} ${why}`);
    }
    if (!base.runnable) return broken(`its base ${base.name} cannot run: ${base.reason}`);
    const model = this.through(generator, base);
    const problem = this.problemOf(generator, model, base) ?? this.lorasProblem(generator, model);
    return problem === undefined ? { name, model, generator } : broken(problem);
  }

  /** A schedule takes a moment to compute, and a list has many generators: each is asked once. */
  private problemOf(generator: Generator, model: ModelInfo, { stamp }: ModelInfo): string | undefined {
    const known = this.checked.get(generator);
    if (known?.stamp === stamp) return known.problem;
    const problem = problemOf(generator, model);
    this.checked.set(generator, { stamp, problem });
    return problem;
  }

  /** LoRAs come and go: they are looked up each time. */
  private lorasProblem({ loras = [] }: Generator, model: ModelInfo): string | undefined {
    try {
      for (const { name } of loras) this.engine.lora(name, model);
      return undefined;
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      return error.message.replace(/\.$/, '');
    }
  }

  private through({ title, description, license, defaults, limits, name }: Generator, base: ModelInfo): ModelInfo {
    const { multiple, max } = base.size;
    const steps = defaults.steps ?? base.defaults.steps;
    const guidance = defaults.guidance ?? base.defaults.guidance;
    const imageGuidance = defaults.image_guidance ?? base.defaults.imageGuidance;
    const largest = Math.floor((limits.side ?? max) / multiple) * multiple;
    return {
      ...base,
      title: title ?? name,
      description: description ?? '',
      license: license ?? base.license,
      size: { ...base.size, max: Math.min(max, largest) },
      defaults: {
        ...base.defaults,
        ...(imageGuidance !== undefined && { imageGuidance }),
        steps: Math.min(steps, limits.steps ?? steps, this.maxSteps),
        guidance: Math.min(guidance, limits.guidance ?? guidance),
        scheduler: defaults.scheduler ?? base.defaults.scheduler,
      },
    };
  }
}

/** A file whose name a model has already keeps its whole name, as checkpoints do. */
function nameOf({ name }: Generator | BrokenGenerator, models: readonly CatalogueEntry[]): string {
  return models.some((model) => model.name === name) ? `${name}.generator.json` : name;
}

/** What of a generator its base cannot do. */
function problemOf({ base, defaults }: Generator, { size, defaults: all, ...model }: ModelInfo): string | undefined {
  if (size.max < size.min) return `its limit of sides is below ${size.min}, the least that its base ${base} makes`;
  if (defaults.image_guidance !== undefined && model.rules.guidance !== 'prompts_and_starter') {
    return `its base ${base} takes no image_guidance`;
  }
  try {
    const { strength = 1 } = starterWeight(defaults, { ...model, defaults: all });
    createSchedule({ ...all, strength }, model.schedulerConfig, model.rules.schedule);
    return undefined;
  } catch (error) {
    if (!(error instanceof UnsupportedSchedulerError)) throw error;
    return `its base ${base} cannot run the scheduler ${all.scheduler} like this: ${error.message}`;
  }
}

/**
 * A request as its generator has it: with the whole prompt, and the defaults that a model does not have.
 * @throws Problem for what is beyond the generator's limits
 */
export function throughGenerator(sent: Sent, { name, generator }: Choice): Sent {
  if (!generator) return sent;
  for (const field of ['steps', 'guidance'] as const) {
    const limit = generator.limits[field];
    if (limit === undefined || (sent[field] ?? 0) <= limit) continue;
    const detail = `${field} is ${sent[field]}; the generator ${name} takes at most ${limit}.`;
    throw fieldProblem('invalid_request', field, detail);
  }
  const { influence, strength } = generator.defaults;
  const own = [sent.influence, sent.strength, sent.image_guidance].some((weight) => weight !== undefined);
  return {
    ...sent,
    prompt: wholePrompt(generator, sent.prompt ?? ''),
    negative_prompt: sent.negative_prompt ?? generator.negative_prompt ?? '',
    ...(sent.lora === undefined && generator.loras && { lora: generator.loras }),
    ...(!own && { ...(influence !== undefined && { influence }), ...(strength !== undefined && { strength }) }),
  };
}

// The graphs of a folder without configs, each read once, and what they tell of the family.

import { number } from '../folder/configs.js';
import { type GraphShapes, graphShapes } from '../onnx/graph-shapes.js';
import { templateFile } from './amuse-template.js';
import type { FileFamily } from './file-facts.js';
import { FolderSource, type OwnComponent, type Part } from './model-source.js';

/** Width of the text encoder of Stable Diffusion 2. */
const openClipWidth = 1024;
const refinerTimeIds = 5;
const noShapes: GraphShapes = { tables: [], channels: undefined, widths: new Map() };

export class ReadyGraphs {
  readonly folder: FolderSource;
  private readonly parts = new Map<OwnComponent, Part>();
  private readonly known = new Map<OwnComponent, GraphShapes>();

  constructor(path: string) {
    this.folder = new FolderSource(path);
  }

  /** @throws ModelFolderError when it is missing, broken or not supported */
  part(component: OwnComponent): Part {
    const part = this.parts.get(component) ?? this.folder.part(component, 'fp32');
    this.parts.set(component, part);
    return part;
  }

  shapes(component: OwnComponent): GraphShapes {
    const { graph } = this.part(component);
    const shapes = this.known.get(component) ?? (typeof graph === 'string' ? graphShapes(graph) : noShapes);
    this.known.set(component, shapes);
    return shapes;
  }

  /** What a text encoder's tables tell: of its tokens, which is the largest, and of their places. */
  text(component: 'text_encoder' | 'text_encoder_2'): { readonly width?: number; readonly tokens?: number } {
    const [words, ...others] = this.shapes(component).tables.toSorted(([a], [b]) => b - a);
    if (!words) return {};
    const fixed = number(this.part(component).facts.inputs.get('input_ids')?.shape?.[1]);
    const tokens = fixed ?? others.findLast(([, width]) => width === words[1])?.[0];
    return { width: words[1], ...(tokens !== undefined && { tokens }) };
  }

  /**
   * By what diffusers' pipelines give their UNets, and by the width of the text encoder.
   * @param refiner whether the template says so
   */
  family(refiner: boolean): { readonly value: FileFamily; readonly from: string } {
    const { inputs } = this.part('unet').facts;
    if (!inputs.has('text_embeds')) {
      const { width } = this.text('text_encoder');
      return {
        value: width === openClipWidth ? 'sd2' : 'sd1',
        from: `the text encoder's width, ${width ?? 'unknown'}`,
      };
    }
    if (refiner) return { value: 'sdxl-refiner', from: templateFile };
    const timeIds = number(inputs.get('time_ids')?.shape?.[1]);
    if (timeIds !== undefined) {
      return { value: timeIds === refinerTimeIds ? 'sdxl-refiner' : 'sdxl', from: `the UNet's ${timeIds} time_ids` };
    }
    const two = this.folder.has('text_encoder');
    return { value: two ? 'sdxl' : 'sdxl-refiner', from: two ? 'two text encoders' : 'the second text encoder alone' };
  }
}

// A child of the kit: writes the file of a random model.

import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeRandomCheckpoint } from '../checkpoints/random-checkpoint.js';
import { shapes, type Task } from './plan.js';

const task: Task = JSON.parse(process.argv[2]!);
const { name, shapes: tensors } = shapes[task.shape];
mkdirSync(task.models, { recursive: true });
const path = join(task.models, `${name}.safetensors`);
if (!existsSync(path)) writeRandomCheckpoint(path, tensors);

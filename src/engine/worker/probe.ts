// Entry of a process that only says whether onnxruntime can run anything on a provider here: why not, or nothing.

import type { Provider } from '../../model-facts.js';
import { providerFault } from '../../pipeline/onnx/sessions.js';

process.stdout.write((await providerFault(process.argv[2] as Provider)) ?? '');

// npm run docs:openapi writes openapi.json.

import { writeFileSync } from 'node:fs';
import { documentPath, openapiDocument } from './document.js';

writeFileSync(documentPath, await openapiDocument());

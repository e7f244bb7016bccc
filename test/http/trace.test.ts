import t from 'tap';
import { parseTraceparent } from '../../src/http/server/trace.js';

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
const spanId = '00f067aa0ba902b7';

t.test('a traceparent is read as W3C Trace Context has it', async (t) => {
  const valid: [header: string, sampled: boolean, why: string][] = [
    [`00-${traceId}-${spanId}-01`, true, 'sampled'],
    [`00-${traceId}-${spanId}-00`, false, 'not sampled'],
    [`00-${traceId}-${spanId}-ff`, true, 'unknown flags are ignored'],
    [`00-${traceId}-${spanId}-fe`, false, 'unknown flags do not say sampled'],
    [`cc-${traceId}-${spanId}-01`, true, 'a later version'],
    [`cc-${traceId}-${spanId}-01-what-the-future-will-be-like`, true, 'a later version with more fields'],
  ];
  for (const [header, sampled, why] of valid) t.strictSame(parseTraceparent(header), { traceId, spanId, sampled }, why);
});

t.test('an invalid traceparent is as good as none', async (t) => {
  const invalid: [header: string | string[] | undefined, why: string][] = [
    [undefined, 'absent'],
    ['', 'empty'],
    [`ff-${traceId}-${spanId}-01`, 'version ff'],
    [`0-${traceId}-${spanId}-01`, 'a short version'],
    [`00-${'0'.repeat(32)}-${spanId}-01`, 'a trace id of zeros'],
    [`00-${traceId}-${'0'.repeat(16)}-01`, 'a parent id of zeros'],
    [`00-${traceId.toUpperCase()}-${spanId}-01`, 'upper case'],
    [`00-${traceId}-${spanId}-0x`, 'flags that are not hexadecimal'],
    [`00-${traceId.slice(1)}-${spanId}-01`, 'a short trace id'],
    [`00-${traceId}0-${spanId}-01`, 'a long trace id'],
    [`00-${traceId}-${spanId}`, 'no flags'],
    [`00-${traceId}-${spanId}-01-more`, 'version 00 with more fields'],
    [`00-${traceId}-${spanId}-01-`, 'version 00 with a dash at its end'],
    [`cc-${traceId}-${spanId}-01.more`, 'a later version whose flags are not followed by a dash'],
    [` 00-${traceId}-${spanId}-01`, 'a space'],
    [`00-${traceId}-${spanId}-01, 00-${traceId}-${spanId}-01`, 'two, as node joins them'],
    [[`00-${traceId}-${spanId}-01`], 'a list'],
  ];
  for (const [header, why] of invalid) t.equal(parseTraceparent(header), undefined, why);
});

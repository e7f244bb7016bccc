// What onnxruntime 1.30 reads: newer files are refused when they are looked at, not at their first request.

export const runtime = 'onnxruntime 1.30';
export const maxIrVersion = 13;
/** The newest version of each set of operators; '' is ONNX's own. */
export const maxOpsets: Readonly<Record<string, number>> = {
  '': 26,
  'ai.onnx': 26,
  'ai.onnx.ml': 5,
  'ai.onnx.preview.training': 1,
  'com.microsoft': 1,
};
/** Domains of onnxruntime's own that have no versions to speak of. */
const ownDomains = ['com.microsoft.nchwc', 'com.microsoft.experimental', 'com.ms.internal.nhwc', 'org.pytorch.aten'];

export interface Written {
  readonly irVersion: number;
  readonly opsets: ReadonlyMap<string, number>;
  /** Of the graph's nodes. */
  readonly domains: ReadonlySet<string>;
  /** Of the functions that the file brings along. */
  readonly functionDomains: readonly string[];
}

/** @throws RangeError with what is too new or not known, and what is */
export function checkReadable({ irVersion, opsets, domains, functionDomains }: Written): void {
  if (irVersion > maxIrVersion) {
    throw new RangeError(`it has IR version ${irVersion}; ${runtime} knows up to ${maxIrVersion}`);
  }
  for (const [domain, version] of opsets) {
    const max = maxOpsets[domain];
    if (max === undefined || version <= max) continue;
    throw new RangeError(
      `it has opset ${version}${domain === '' ? '' : ` of ${domain}`}; ${runtime} knows up to ${max}: export it with an older one`,
    );
  }
  const custom = [...domains].filter(
    (domain) => maxOpsets[domain] === undefined && !ownDomains.includes(domain) && !functionDomains.includes(domain),
  );
  if (custom.length > 0) {
    throw new RangeError(`it has operators of ${custom.slice(0, 3).join(', ')}, which ${runtime} does not have`);
  }
}

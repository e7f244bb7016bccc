// What a driver says of its GPUs.

export interface GpuReading {
  /** Index on the PCI bus, as in DEVICES; `0:1` is the second instance of a split GPU. */
  readonly gpu: string;
  readonly uuid: string;
  readonly name: string;
  readonly driver: string;
  /** An instance of a split GPU (MIG). */
  readonly mig: boolean;
  /** Bytes of the whole device, other processes' included. */
  readonly memory: { readonly used: number; readonly total: number };
  /** 0..1; absent where the driver does not tell. */
  readonly utilization: number | undefined;
}

/** One way to ask. */
export interface GpuSource {
  readonly name: string;
  /** @throws Error when the driver does not answer as it should */
  read(): Promise<readonly GpuReading[]>;
  close(): Promise<void>;
}

// A store of models that are loaded and not warmed up.

import { ModelStore, type ModelStoreEvents, type ModelStoreOptions } from '../../src/engine/worker/model-store.js';

type Options = Pick<ModelStoreOptions, 'modelsDir' | 'cacheDir'> & Partial<ModelStoreOptions>;

export const coldStore = (options: Options, changed: ModelStoreEvents['changed'] = () => {}): ModelStore =>
  new ModelStore(
    {
      provider: 'cpu',
      threads: 1,
      measureRows: false,
      modelMemoryBytes: Number.POSITIVE_INFINITY,
      digests: {},
      ...options,
    },
    {
      loading() {},
      warmUp: async () => ({ capacities: [], memoryNeeds: [] }),
      changed,
      componentLoaded() {},
    },
  );

/** Why a command did not do what it was asked, in one sentence for whoever gave it. */
export class ModelsError extends Error {}

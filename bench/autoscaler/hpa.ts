// Kubernetes' HorizontalPodAutoscaler, version autoscaling/v2, as its documentation and its controller's source describe it:
// https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/ — proposals, the window, the rate. KEDA drives the same one.

/** One direction's rules, as in `spec.behavior`. */
export interface Direction {
  readonly stabilizationWindowSeconds: number;
  readonly policies: readonly { type: string; value: number; periodSeconds: number }[];
}

export interface Autoscaler {
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly behavior: { readonly scaleUp: Direction; readonly scaleDown: Direction };
}

/** The controller's --horizontal-pod-autoscaler-tolerance. */
const tolerance = 0.1;

/** Replicas for a sum over the fleet and a target per replica (AverageValue). */
export function byAverageValue(total: number, target: number, current: number): number {
  return Math.abs(total / (target * current) - 1) <= tolerance ? current : Math.ceil(total / target);
}

/** Replicas for one value and its target (Value): as many more as the value is too high. */
export function byValue(value: number, target: number, current: number, ready: number): number {
  return Math.abs(value / target - 1) <= tolerance ? current : Math.ceil((value / target) * ready);
}

/** @returns what the Deployment is set to at `now` (seconds), given what the metrics propose; the largest proposal counts */
export function createAutoscaler({ minReplicas, maxReplicas, behavior }: Autoscaler) {
  const recommended: { at: number; replicas: number }[] = [];
  const changes: { at: number; by: number }[] = [];

  /** Replicas when the period began, from what was added and removed since. */
  const before = (now: number, current: number, periodSeconds: number) =>
    changes.filter(({ at }) => at > now - periodSeconds).reduce((replicas, { by }) => replicas - by, current);

  return (now: number, current: number, proposals: readonly number[]): number => {
    const wanted = Math.min(maxReplicas, Math.max(minReplicas, ...proposals));
    recommended.push({ at: now, replicas: wanted });
    const { scaleUp, scaleDown } = behavior;
    const within = (seconds: number) =>
      recommended.filter(({ at }) => at > now - seconds || at === now).map(({ replicas }) => replicas);
    const lowest = Math.min(...within(scaleUp.stabilizationWindowSeconds));
    const highest = Math.max(...within(scaleDown.stabilizationWindowSeconds));
    let next = Math.min(Math.max(current, lowest), highest);
    if (next > current) {
      const limits = scaleUp.policies.map(({ value, periodSeconds }) => before(now, current, periodSeconds) + value);
      next = Math.max(current, Math.min(next, Math.max(...limits)));
    } else if (next < current) {
      const limits = scaleDown.policies.map(({ value, periodSeconds }) => before(now, current, periodSeconds) - value);
      next = Math.min(current, Math.max(next, Math.min(...limits)));
    }
    if (next !== current) changes.push({ at: now, by: next - current });
    return next;
  };
}

// The real autoscaler's run as an SVG, in the manner of the simulated day.

import { drawPanels } from '../autoscaler/panels.js';
import type { Sample } from './scaling.js';

/** @param slots requests that run at the same time on one replica */
export function plotScaling(samples: readonly Sample[], slots: number, title: string): string {
  const length = samples.at(-1)!.at;
  const panels = [
    {
      title: 'Load, in replicas',
      lines: [
        { name: 'clients / slots', colour: '#9aa5b1', values: samples.map(({ clients }) => clients / slots) },
        { name: 'saturation, as recorded', colour: '#7c3aed', values: samples.map(({ saturation = 0 }) => saturation) },
      ],
    },
    {
      title: 'Replicas',
      lines: [
        { name: 'wanted', colour: '#f59e0b', values: samples.map(({ wanted }) => wanted) },
        { name: 'ready', colour: '#15803d', values: samples.map(({ ready }) => ready) },
      ],
    },
  ];
  const minutes = Array.from({ length: Math.floor(length / 300) + 1 }, (_, i) => 5 * i);
  return drawPanels(
    title,
    panels,
    minutes.map((minute) => ({ at: (60 * minute) / length, text: `${minute} min` })),
  );
}

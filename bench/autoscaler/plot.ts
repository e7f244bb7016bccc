// The day as an SVG: requests, replicas and waits over 24 hours, one above the other.

import type { Minute } from './day.js';
import { drawPanels, type Panel } from './panels.js';

/** @param capacity requests per second that one ready replica can take */
export function plotDay(minutes: readonly Minute[], capacity: number, title: string): string {
  const every5 = Array.from({ length: minutes.length / 5 }, (_, i) => minutes.slice(5 * i, 5 * i + 5));
  const per5 = (pick: (minute: Minute) => number, join: (values: number[]) => number) =>
    every5.map((five) => join(five.map(pick)));
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const largest = (values: number[]) => Math.max(...values);
  const panels: Panel[] = [
    {
      title: 'Requests per second',
      lines: [
        {
          name: 'capacity of the ready replicas',
          colour: '#9aa5b1',
          values: per5(({ ready }) => ready * capacity, mean),
        },
        { name: 'requests', colour: '#2563eb', values: per5(({ arrivals }) => arrivals / 60, mean) },
        { name: 'rejected', colour: '#dc2626', filled: true, values: per5(({ rejected }) => rejected / 60, mean) },
      ],
    },
    {
      title: 'Replicas',
      lines: [
        { name: 'started', colour: '#f59e0b', values: per5(({ replicas }) => replicas, largest) },
        { name: 'ready', colour: '#15803d', values: per5(({ ready }) => ready, mean) },
        { name: 'load, in replicas', colour: '#7c3aed', values: per5(({ load }) => load, mean) },
      ],
    },
    {
      title: 'Wait for a slot, 95th percentile of each minute, seconds',
      lines: [{ name: 'wait', colour: '#2563eb', filled: true, values: per5(({ p95Wait }) => p95Wait, largest) }],
    },
  ];
  const ticks = [0, 3, 6, 9, 12, 15, 18, 21, 24].map((hour) => ({ at: hour / 24, text: `${hour}:00` }));
  return drawPanels(title, panels, ticks);
}

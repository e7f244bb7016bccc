// npm run k8s:rules prints the rule file of a plain Prometheus: what k8s/base/prometheus-rule.yaml has for the operator's.

import { readFileSync } from 'node:fs';
import { argv } from 'node:process';
import { pathToFileURL } from 'node:url';
import { parse, stringify } from 'yaml';

export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
}

export interface RuleGroup {
  readonly name: string;
  readonly rules: readonly Rule[];
}

/** The recording rules and alerts. */
export function ruleGroups(): readonly RuleGroup[] {
  return parse(readFileSync(new URL('base/prometheus-rule.yaml', import.meta.url), 'utf8')).spec.groups;
}

/** The same as the text of a Prometheus rule file. */
export function ruleFile(): string {
  return stringify({ groups: ruleGroups() });
}

if (import.meta.url === pathToFileURL(argv[1]!).href) process.stdout.write(ruleFile());

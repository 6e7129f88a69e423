/**
 * Expressions of manifests, in CEL (Common Expression Language, cel.dev), evaluated by a kept library.
 *
 * Job: compile once, evaluate often, JSON in and JSON out. Boundary: an expression sees only the variables named here and
 * can reach nothing else; CEL always terminates. JSON numbers are CEL doubles; we add the mixed `double op int` overloads
 * that the standard leaves out, because `payload.n + 1` is what people write.
 */
import { type ASTNode, Environment } from '@marcbachmann/cel-js';
import { MillraceError, messageOf } from './errors.ts';
import { isObject, type Json } from './json.ts';

/** Variables of a trigger's `when` and `key`. */
export const TRIGGER_VARIABLES = ['payload', 'subject', 'headers'] as const;
/** Variables of a step's `when` and `with`. */
export const STEP_VARIABLES = ['payload', 'steps', 'run'] as const;
/** Variables of `when` and `with` where a step is one of each item of a list. */
export const ITEM_VARIABLES = [...STEP_VARIABLES, 'item', 'index'] as const;

/** Variables of a schedule's `with`. */
export const SCHEDULE_VARIABLES = ['scheduledAt', 'schedule'] as const;
/** Variables of a limit's `key` and of `priority`: what is known of a run before its first step. */
export const START_VARIABLES = ['payload'] as const;

/** A compiled expression. */
export interface Expression {
  readonly source: string;
  /** @throws MillraceError MR_EXPRESSION when evaluation fails (a missing key, wrong types). */
  evaluate(variables: Readonly<Record<string, Json>>): Json;
  /** Names read straight off a variable, sorted: `steps.a.b + steps["c"]` has the members `a`, `c` of `steps`. */
  members(variable: string): readonly string[];
  /** `true` when the variable is read somewhere. */
  readonly uses: (variable: string) => boolean;
}

type Arithmetic = (a: number, b: number) => number;
const MIXED: Readonly<Record<string, Arithmetic>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
};

function environment(variables: readonly string[]): Environment {
  const env = new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false });
  for (const variable of variables) env.registerVariable(variable, 'dyn');
  for (const [operator, apply] of Object.entries(MIXED)) {
    env.registerOperator(`double ${operator} int`, (a: number, b: bigint) => apply(a, Number(b)));
    env.registerOperator(`int ${operator} double`, (a: bigint, b: number) => apply(Number(a), b));
  }
  env.registerOperator('double % double', (a: number, b: number) => a % b);
  return env;
}

const environments = new Map<string, Environment>();
const compiled = new Map<string, Expression>();

function environmentFor(variables: readonly string[]): Environment {
  const key = variables.join(',');
  let env = environments.get(key);
  if (env === undefined) environments.set(key, (env = environment(variables)));
  return env;
}

/** CEL values as JSON: 64-bit integers become numbers, maps become objects; what JSON cannot hold becomes text. */
function toJson(value: unknown): Json {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value === 'bigint') return Number(value);
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof Map) return Object.fromEntries([...value].map(([k, v]) => [String(k), toJson(v)]));
  if (value instanceof Date) return value.toISOString();
  if (isObject(value)) {
    const proto: unknown = Object.getPrototypeOf(value);
    if (proto === Object.prototype || proto === null) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, toJson(v)]));
    }
  }
  return String(value);
}

function failure(source: string, error: unknown): MillraceError {
  return new MillraceError('MR_EXPRESSION', `expression "${source}": ${messageOf(error).split('\n')[0] ?? ''}`, {
    hint: 'expressions are CEL; see docs/manifests.md for the variables and operators',
    cause: error,
  });
}

/**
 * Compiles (and type-checks) an expression over the given variables; results are cached by text.
 * @throws MillraceError MR_EXPRESSION when it does not parse, or names an unknown variable
 */
export function compileExpression(source: string, variables: readonly string[]): Expression {
  const key = `${variables.join(',')}\u0000${source}`;
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const expression = compile(source, variables);
  compiled.set(key, expression);
  return expression;
}

function compile(source: string, variables: readonly string[]): Expression {
  let program: ReturnType<Environment['parse']>;
  try {
    program = environmentFor(variables).parse(source);
    const check = program.check();
    if (!check.valid) throw check.error ?? new Error('does not type-check');
  } catch (error) {
    throw failure(source, error);
  }
  let names: ReadonlySet<string> | undefined;
  return {
    source,
    uses: (variable) => (names ??= namesIn(program.ast)).has(variable),
    members(variable) {
      const found = new Set<string>();
      collectMembers(program.ast, variable, found);
      return [...found].sort();
    },
    evaluate(values) {
      try {
        return toJson(program(values as Record<string, unknown>));
      } catch (error) {
        throw failure(source, error);
      }
    },
  };
}

function isNode(value: unknown): value is ASTNode {
  return isObject(value) && typeof value['op'] === 'string' && 'args' in value;
}

function namesIn(value: unknown, found = new Set<string>()): ReadonlySet<string> {
  if (Array.isArray(value)) for (const item of value) namesIn(item, found);
  if (!isNode(value)) return found;
  if (value.op === 'id' && typeof value.args === 'string') found.add(value.args);
  namesIn(value.args, found);
  return found;
}

function collectMembers(value: unknown, variable: string, found: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value) collectMembers(item, variable, found);
    return;
  }
  if (!isNode(value)) return;
  if (value.op === '.' || value.op === '.?' || value.op === '[]' || value.op === '[?]') {
    const [object, member] = value.args;
    if (object.op === 'id' && object.args === variable) {
      const name = typeof member === 'string' ? member : member.op === 'value' ? member.args : undefined;
      if (typeof name === 'string') found.add(name);
    }
  }
  collectMembers(value.args, variable, found);
}

/**
 * Evaluates a condition.
 * @throws MillraceError MR_EXPRESSION when it fails or does not give a boolean
 */
export function evaluateCondition(expression: Expression, variables: Readonly<Record<string, Json>>): boolean {
  const value = expression.evaluate(variables);
  if (typeof value === 'boolean') return value;
  throw new MillraceError(
    'MR_EXPRESSION',
    `expression "${expression.source}" gave ${JSON.stringify(value)}, not a boolean`,
    {
      hint: 'a condition must be true or false; compare the value, for example payload.count > 0',
    },
  );
}

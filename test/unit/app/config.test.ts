import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../../src/app/index.ts';

describe('the environment', () => {
  test('empty gives the defaults of docs/protocol.md', () => {
    expect(loadConfig({ MILLRACE_REDIS_URL: '', MILLRACE_NATS_TOKEN: ' ' })).toEqual({
      natsUrl: 'nats://127.0.0.1:4222',
      httpPort: 0,
      logLevel: 'info',
      pool: 'default',
      groupCommit: 'auto',
      prefectEvents: 'socket',
    });
  });

  test('full gives the settings; trailing slashes go, Prefect’s UI follows from its API', () => {
    expect(
      loadConfig({
        MILLRACE_NATS_URL: 'nats://a:4222, b:4222',
        MILLRACE_NATS_TOKEN: 't',
        MILLRACE_NATS_CREDS: '/c.creds',
        MILLRACE_NATS_MONITOR_URL: 'http://a:8222/',
        MILLRACE_REDIS_URL: 'redis://r:6379/1',
        MILLRACE_PREFECT_URL: 'http://p:4200/api/',
        MILLRACE_PREFECT_API_KEY: 'k',
        MILLRACE_OTLP_URL: 'http://o:4318/',
        MILLRACE_JAEGER_URL: 'https://j/ui/',
        MILLRACE_HTTP_PORT: '9100',
        MILLRACE_LOG_LEVEL: 'debug',
        MILLRACE_POOL: 'big',
        MILLRACE_GROUP_COMMIT: 'never',
      }),
    ).toEqual({
      natsUrl: 'nats://a:4222, b:4222',
      natsToken: 't',
      natsCreds: '/c.creds',
      natsMonitorUrl: 'http://a:8222',
      redisUrl: 'redis://r:6379/1',
      prefectUrl: 'http://p:4200/api',
      prefectApiKey: 'k',
      prefectUiUrl: 'http://p:4200',
      otlpUrl: 'http://o:4318',
      jaegerUrl: 'https://j/ui',
      httpPort: 9100,
      logLevel: 'debug',
      pool: 'big',
      groupCommit: 'never',
      prefectEvents: 'socket',
    });
  });

  test.each([
    ['MILLRACE_NATS_URL', 'ftp://x', 'expected one or more addresses'],
    ['MILLRACE_NATS_MONITOR_URL', '127.0.0.1:8222', 'expected the address of the monitoring port'],
    ['MILLRACE_REDIS_URL', 'http://r', 'expected an address such as redis://'],
    ['MILLRACE_PREFECT_URL', 'p:4200', 'expected the address of Prefect'],
    ['MILLRACE_OTLP_URL', 'grpc://o', 'expected the base of an OTLP/HTTP receiver'],
    ['MILLRACE_HTTP_PORT', '70000', 'expected a port number'],
    ['MILLRACE_HTTP_PORT', 'x', 'expected a port number'],
    ['MILLRACE_LOG_LEVEL', 'loud', 'expected one of fatal'],
    ['MILLRACE_POOL', 'a b', 'expected letters'],
    ['MILLRACE_GROUP_COMMIT', 'sometimes', 'expected one of auto, always, never'],
  ])('%s=%s is refused by name', (name, value, expectation) => {
    const load = (): unknown => loadConfig({ [name]: value });
    expect(load).toThrow(expect.objectContaining({ code: 'MR_CONFIG', place: { path: name } }));
    expect(load).toThrow(`${name}: ${expectation}`);
  });

  test('all wrong variables are named at once', () => {
    expect(() => loadConfig({ MILLRACE_POOL: '.', MILLRACE_HTTP_PORT: '-1' })).toThrow(
      /MILLRACE_HTTP_PORT.*MILLRACE_POOL/,
    );
  });
});

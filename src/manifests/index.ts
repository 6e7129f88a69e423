export { type DefinitionStore, type DefinitionWatch, openDefinitions } from './definitions.nats.ts';
export { type Ensured, ensureAssets } from './ensure.nats.ts';
export { digestOf, openSealed, sealDefinition, type Unsealed } from './seal.ts';

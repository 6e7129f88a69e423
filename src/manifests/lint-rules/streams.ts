/** Streams: no subject is stored twice, none of ours is taken, and the numbers agree with each other. */
import { tryParseDuration } from '../../kernel/index.ts';
import { type Finding, finding, type LintRule } from '../manifest.ts';
import { overlaps } from '../subject-match.ts';

/** Subjects that Millrace and the server use for themselves (docs/protocol.md). */
const RESERVED_SUBJECTS = [
  'wf.>',
  'task.>',
  'flow.>',
  'timer.>',
  'evt.>',
  'dead.>',
  'cancel.>',
  'sched.>',
  '$JS.>',
  '$KV.>',
  '$O.>',
  '$SYS.>',
  '_INBOX.>',
];

/** A subject that would catch Millrace's or the server's own messages. */
export const reservedSubjects: LintRule = ({ streams }) =>
  streams.flatMap((stream) =>
    stream.value.spec.subjects.flatMap((subject, i): readonly Finding[] => {
      const taken = RESERVED_SUBJECTS.filter((reserved) => overlaps(reserved, subject));
      if (taken.length === 0) return [];
      return [
        finding(stream, ['spec', 'subjects', i], {
          rule: 'reserved-subject',
          message: `"${subject}" takes in ${taken.length > 3 ? 'subjects of Millrace and of the server' : taken.join(', ')}`,
          hint: `choose subjects outside ${RESERVED_SUBJECTS.join(', ')}`,
        }),
      ];
    }),
  );

/** Two subjects, of one stream or of two, that match the same message: the server refuses them. */
export const overlappingSubjects: LintRule = ({ streams }) => {
  const all = streams.flatMap((stream) =>
    stream.value.spec.subjects.map((subject, i) => ({ stream, subject, i, name: stream.value.metadata.name })),
  );
  return all.flatMap((entry, index): readonly Finding[] => {
    const other = all
      .slice(0, index)
      .find((e) => (e.stream === entry.stream || e.name !== entry.name) && overlaps(e.subject, entry.subject));
    if (other === undefined) return [];
    const whose = other.stream === entry.stream ? 'of the same stream' : `of stream ${other.name}`;
    return [
      finding(entry.stream, ['spec', 'subjects', entry.i], {
        rule: 'subject-overlap',
        message: `"${entry.subject}" overlaps "${other.subject}" ${whose}`,
        hint: 'a message may be stored by one stream only; make one of the two narrower',
      }),
    ];
  });
};

/** A duplicate window longer than messages are kept. */
export const duplicateWindows: LintRule = ({ streams }) =>
  streams.flatMap((stream): readonly Finding[] => {
    const { maxAge, duplicateWindow } = stream.value.spec;
    if (maxAge === undefined || duplicateWindow === undefined) return [];
    if ((tryParseDuration(duplicateWindow) ?? 0) <= (tryParseDuration(maxAge) ?? 0)) return [];
    return [
      finding(stream, ['spec', 'duplicateWindow'], {
        rule: 'duplicate-window',
        message: `duplicateWindow (${duplicateWindow}) is longer than maxAge (${maxAge})`,
        hint: 'a message that is gone cannot be recognised; make it at most maxAge',
      }),
    ];
  });

/** Replicas are an odd number: an even one costs a server and tolerates no more failures. */
export const evenReplicas: LintRule = ({ streams }) =>
  streams
    .filter((stream) => (stream.value.spec.replicas ?? 1) % 2 === 0)
    .map((stream) =>
      finding(stream, ['spec', 'replicas'], {
        rule: 'even-replicas',
        severity: 'warning',
        message: `${stream.value.spec.replicas} replicas tolerate no more failures than ${(stream.value.spec.replicas ?? 2) - 1}`,
        hint: 'use 1, 3 or 5',
      }),
    );

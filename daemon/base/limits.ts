/** Every named bound in one place, with the relations between them asserted when the module loads. */

import { assert } from './assert.ts';
import { KiB, MiB } from './bytes.ts';

/** Bytes of one read, hash, compress and write step: large enough that a native call costs nothing beside it. */
export const segmentBytes = 1 * MiB;
/** Smallest and largest block of a repository. */
export const blockBytesMin = 16 * KiB;
export const blockBytesMax = 256 * KiB;
export const blockBytesDefault = 64 * KiB;
/** Most blocks of one segment. */
export const segmentBlocksMax = segmentBytes / blockBytesMin;
/** A pack is closed when its payload reaches this size, or when it holds `packBlocksMax` blocks. */
export const packPayloadBytes = 32 * MiB;
export const packBlocksMax = 2048;
/** Buffers of a segment each that what goes into packs is collected in: one is filled while another is written. */
export const stageBuffers = 2;
/** Entries of one page of the map; a page has `fanout * 32` bytes. */
export const fanout = 512;
/** Largest volume: the format counts bytes in numbers that JSON carries exactly. */
export const volumeBytesMax = 2 ** 52;
/** Manifests are small, whatever the volume: what is larger is not one of ours. */
export const manifestBytesMax = 1 * MiB;
/** Largest frame of the control protocol, either way. */
export const frameBytesMax = 1 * MiB;
/** Deepest nesting of a control message. */
export const frameDepthMax = 16;
/** Bytes that may wait for a client that does not read, before it is cut off. */
export const clientBacklogBytesMax = 4 * MiB;
export const clientsMax = 64;
/** Places among `clientsMax` that only administrators may take, so that others can't lock them out. */
export const clientsForAdmins = 8;
/** How long a client may leave half a frame unsent, its answers unread, or "hello" unsaid. */
export const clientStallMs = 30_000;
/** Bytes waiting for a client from which on its events are merged: only the newest of each job is kept. */
export const eventBacklogBytesMax = 64 * KiB;
/** How long requests under way may still be answered when the daemon stops. */
export const stopGraceMs = 2_000;
export const requestsPerClientMax = 32;
/** Damaged ranges that one report lists; what is beyond is counted. */
export const damageRangesMax = 1000;
/** Uses of a device that one fault names. */
export const usesShownMax = 16;

assert(segmentBytes % blockBytesMax === 0, 'a segment holds whole blocks of every size');
assert((fanout * 32) % 4096 === 0, 'a page of the map is whole memory pages');
assert(clientBacklogBytesMax >= 2 * frameBytesMax, 'an answer of full size fits beside what waits');
assert(packPayloadBytes >= 4 * segmentBytes, 'a pack holds several segments');
/** Bytes of one slot of the view's cache: what one miss reads. A multiple of every block size. */
export const viewSlotBytes = 256 * KiB;
/** Backups that the view keeps open at a time; what is beyond is opened again when it is read. */
export const viewOpenBackupsMax = 8;
/** Backups whose partition tables the view keeps. */
export const viewTablesMax = 64;
/** Users with different rights for whom the view keeps the names of volumes, and how long it believes which groups a user is in. */
export const viewSightsMax = 16;
export const viewRightsMs = 5_000;
/** Records of backups that the view keeps as long as none changes. */
export const viewRecordsMax = 512;
/** Users whose rights are kept so. */
export const viewRightsMax = 256;
/** Partitions that are shown of an image, records of its chain of logical ones, bytes of the entries of its GPT: images are
 *  hostile. Linux shows 255 partitions of a disk. */
export const partitionsMax = 255;
export const extendedRecordsMax = 128;
export const gptEntriesBytesMax = 128 * KiB;
/** Of LVM inside an image: bytes of the text that describes a group, groups, volumes and segments of a group, stripes of a segment. */
export const lvmTextBytesMax = 1 * MiB;
export const lvmGroupsMax = 16;
export const lvmVolumesMax = 256;
export const lvmSegmentsMax = 2048;
export const lvmStripesMax = 128;
/** Longest name of a file or folder. Source: Linux, NAME_MAX. */
export const fileNameBytesMax = 255;
/** Processes that read file systems inside backups, how long one may take for an answer, and how long it is kept unused. */
export const readersMax = 8;
export const readerTimeoutMs = 30_000;
export const readerIdleMs = 60_000;
/** Numbers of files in one file system, and file systems inside images that have numbers at a time. */
export const treeNodes = 2 ** 48;
export const treesMax = 2 ** 15 - 1;
/** File systems that are opened because their folder was looked at and before anybody looks into it: so many at once, and one more
 *  every so often. */
export const treesAheadMax = 8;
export const treesAheadEveryMs = 500;
/** How long `files/` is waited for before it is shown without the attributes that the image gives it, and how long a file system waits for a
 *  reader when all are busy. */
export const treeLookupMs = 2_000;
export const readerWaitMs = 10_000;
/** Bytes of a file in one answer: a frame holds them with room to spare. */
export const fileReadBytesMax = 512 * KiB;
/** Symbolic links that one path may lead over. Source: Linux, MAXSYMLINKS. */
export const linksFollowedMax = 40;
/** Repositories of one daemon: each native one that is open has memory of its own. */
export const repositoriesMax = 8;
/** How long the view waits for reads under way when it closes. */
export const viewCloseTimeoutMs = 2000;
/** How long one command that mounts, unmounts or looks at a device may take. */
export const commandTimeoutMs = 60_000;
/** How long a start waits for the mounts of an earlier daemon; those that take longer come later. */
export const remountPatienceMs = 5_000;
/** How often a mount that waits is tried again. */
export const remountEveryMs = 3_000;
/** How long a loop device may take to go away after it was given back. */
export const loopGoneTimeoutMs = 3000;
/** Jobs that have not ended, and ended ones that are remembered. */
export const jobsUnderWayMax = 1000;
export const jobsRememberedMax = 1000;
/** Ranges of a target that are remembered as changed; beyond, neighbours are joined. */
export const writtenRangesMax = 256;
/** Entries in the history of a job. */
export const jobEventsMax = 64;
/** How long a cancelled job may take to end by itself, before it is ended over its head: what hangs in a device goes on in the dark. */
export const cancelGraceMs = 700;
/** The same when the daemon stops: time for a last checkpoint. */
export const stopJobGraceMs = 5_000;
/** So many unasked ends of the daemon with a job at the same place, and the job is not tried again. */
export const jobCrashesMax = 3;
/** Events that are remembered for who asks later, and that may wait for the operator's command. */
export const eventsRememberedMax = 1000;
export const eventQueueMax = 4096;
/** Events in one answer: they fit a frame, however long their names are. */
export const eventsShownMax = 200;
/** How long events that wait for the operator's command may still be given to it when the daemon stops. */
export const eventStopGraceMs = 3000;
/** Extents that one answer of `backup diff` lists. */
export const diffExtentsMax = 10_000;
/** Longest reason kept with a failed backup, as in Cinder. */
export const failReasonLengthMax = 255;
/** All properties of a backup or volume together, as JSON. */
export const propertiesBytesMax = 64 * KiB;
/** A connection_info as JSON. */
export const connectionInfoBytesMax = 64 * KiB;
/** Slots of scratch for misses of the view that are read at a time. */
export const viewScratchSlots = 4;
/** Reads that meet a block which nobody knows list the packs again, but not more often than this. */
export const findPacksEveryMs = 10_000;
/** Longest `backup_url` of a record, white space and all: 64 KiB of properties in the longest spelling fit. */
export const recordTextLengthMax = 768 * KiB;
/** Changed extents that one request may carry, so that they fit a frame: a client with more merges those that lie closest. */
export const changedExtentsMax = 16_384;

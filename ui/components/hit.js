// Hits as the components take them, whether a search found them or they are tracklets of the gallery:
// {tracklet, rank, camera, zone, start, end, start_s, best_s, score, p, crop, track, video, clip, still, gone, uncertain, file}
// Times are ISO 8601 UTC, addresses are whole; p is null where nothing is known of it, crop where there is none.
import { address } from "./base.js";
import { text } from "./language.js";

const PICTURE = /\.(jpe?g|png|webp|bmp|tiff?)$/i;

export const cropUrl = (crop) => address(`api/v1/crops/${crop}`);

export function ofSearch(hit) {
  return {
    ...hit, shot: hit.crop,
    ...addresses(hit.tracklet, hit.video, PICTURE.test(hit.file)),
    start_s: hit.best_s - (Date.parse(hit.best_time) - Date.parse(hit.start)) / 1000,
    p: hit.p_match, crop: cropUrl(hit.crop),
    gone: hit.recording === "present" ? null : text(`recording.${hit.recording}`),
  };
}

// told: what the API says of one tracklet.
export function ofTracklet(told) {
  const best = bestShot(told);
  return {
    ...ofEntry({ ...told, crop: best?.id }),
    start_s: told.start_s, ...(best && { best_s: best.time_s }),
  };
}

// entry: a line of the API's lists of tracklets; its best moment is not known, so that the player looks it up.
export function ofEntry({ id, camera, zone, video, start, end, identity, crop }) {
  return {
    ...addresses(id, video, false),
    tracklet: id, rank: null, camera, zone, start, end, identity, start_s: null, best_s: null,
    score: null, p: null, crop: crop ? cropUrl(crop) : null, gone: null, uncertain: null, file: "",
  };
}

// told: a hit of a case, as the API has it; what was said of it may be changed while the case is open.
export function ofCase(told, { name, closed }) {
  const { tracklet, video, file, crop, recording, p_match: p } = told;
  return {
    ...told, ...addresses(tracklet, video, PICTURE.test(file)),
    rank: null, case: name, judgeable: !closed, identity: null, start_s: null, p, shot: crop, crop: crop && cropUrl(crop),
    gone: recording === "present" ? null : text(`recording.${recording}`),
  };
}

// Undefined where its best shots were deleted.
export const bestShot = (told) => told.crops.reduce((a, b) => (b.quality > a.quality ? b : a), told.crops[0]);

function addresses(tracklet, video, still) {
  const at = (path) => address(`api/v1/${path}`);
  return {
    still,
    video: at(still ? `videos/${video}/frame` : `videos/${video}/file`),
    track: `api/v1/tracklets/${tracklet}`,
    clip: at(`tracklets/${tracklet}/clip`),
  };
}

/* libmindvox, C interface: speaker embeddings from audio, and a set of speakers to compare embeddings with.
 *
 * Several threads may call every function at the same time, also on one handle. The library never throws exceptions:
 * a function returns MINDVOX_OK or an error code of mindvox_status, and mindvox_last_error() returns the error text.
 * A function's outputs are defined only if it returns MINDVOX_OK.
 *
 * A handle is a number, not an address. A handle that was destroyed, or belongs to another kind of object, gives
 * MINDVOX_ERROR_HANDLE. If an object is destroyed while another thread uses it, it lives until that thread's call
 * returns.
 *
 * Text is UTF-8 and ends with a zero byte. Samples are mono. Embeddings are float32 and not normalised; a cosine does
 * not depend on their length.
 */
#ifndef MINDVOX_MINDVOX_H_
#define MINDVOX_MINDVOX_H_

#include <stddef.h>
#include <stdint.h>

#define MINDVOX_VERSION_MAJOR 0
#define MINDVOX_VERSION_MINOR 2
#define MINDVOX_VERSION_PATCH 0
/* Version of this header; mindvox_version() returns the library's. */
#define MINDVOX_VERSION (MINDVOX_VERSION_MAJOR * 10000 + MINDVOX_VERSION_MINOR * 100 + MINDVOX_VERSION_PATCH)
/* Version of the binary interface, also in the library's file name. It changes only when programs must be recompiled.
 * New functions, and new members at the end of structs, do not change it. */
#define MINDVOX_ABI 1

#if defined(__GNUC__)
#define MINDVOX_API __attribute__((visibility("default")))
#else
#define MINDVOX_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t mindvox_status;
enum {
  MINDVOX_OK = 0,
  MINDVOX_ERROR_ARGUMENT = 1,  /* an argument or option is wrong, or this build or engine does not have the option */
  MINDVOX_ERROR_HANDLE = 2,    /* no object of this kind has this handle, or no longer */
  MINDVOX_ERROR_MODEL = 3,     /* the model file is missing, damaged, or cannot be run */
  MINDVOX_ERROR_AUDIO = 4,     /* the samples or the recording cannot be used: too short, silent, clipped, NaN, ... */
  MINDVOX_ERROR_ENGINE = 5,    /* the engine failed while it ran the model, or the model returned NaN */
  MINDVOX_ERROR_EXISTS = 6,    /* a speaker of this name already exists */
  MINDVOX_ERROR_NOT_FOUND = 7, /* there is no speaker of this name */
  MINDVOX_ERROR_MEMORY = 8,    /* there is not enough memory */
  MINDVOX_ERROR_INTERNAL = 9   /* a bug in the library: please report it with the error text */
};

/* Returns MINDVOX_VERSION of the library that is loaded. */
MINDVOX_API int32_t mindvox_version(void);

/* Returns the error text of this thread's last failed call; "" before the first one. The text is valid until this
 * thread's next failed call. */
MINDVOX_API const char* mindvox_last_error(void);

/* ---- Embeddings ---- */

typedef struct mindvox_embedder mindvox_embedder;

typedef int32_t mindvox_precision;
enum { MINDVOX_FLOAT32 = 0, MINDVOX_FLOAT16 = 1, MINDVOX_BFLOAT16 = 2 };

typedef int32_t mindvox_device;
enum { MINDVOX_DEVICE_AUTO = 0, MINDVOX_DEVICE_CPU = 1, MINDVOX_DEVICE_ASCEND = 2 };

/* How a model runs. A member that is zero means its default. */
typedef struct mindvox_options {
  size_t struct_size;          /* sizeof(mindvox_options): MINDVOX_OPTIONS_INIT sets it */
  int32_t num_threads;         /* engine threads of all workers together; default: one per processor */
  int32_t num_workers;         /* number of calls that run the model at the same time, others wait; default: 1 */
  mindvox_precision precision; /* bfloat16 is for .onnx and .xml, float16 for .mindir on Ascend and ARM */
  mindvox_device device;       /* .mindir: auto takes Ascend if there is one and the model was exported for it */
  uint32_t device_id;          /* number of the Ascend device */
  int32_t reserved;            /* 0 */
  int64_t max_frames;          /* a longer recording is embedded in windows; default: 15000 (150 s); -1: no limit;
                                * no effect on a model of one length */
  double min_duration_s;       /* shortest usable recording; default: 0.1 s */
  double max_clipped_fraction; /* largest share of samples at full scale; default: 0.2 */
  const char* cache_folder;    /* .onnx, .xml: folder for the compiled model; default: not kept */
  const char* lite_config;     /* .mindir: a configuration file of MindSpore Lite; default: none */
} mindvox_options;

/* mindvox_options options = MINDVOX_OPTIONS_INIT; */
#define MINDVOX_OPTIONS_INIT \
  { sizeof(mindvox_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL }

/* Inputs and outputs of an embedder. Set struct_size before mindvox_embedder_describe(). */
typedef struct mindvox_description {
  size_t struct_size;    /* sizeof(mindvox_description) */
  size_t embedding_size; /* number of values of an embedding */
  int32_t sample_rate;   /* the model's, Hz; samples of other rates are resampled */
  int32_t reserved;      /* 0 */
  double min_duration_s; /* the shortest recording that the model takes */
  const char* engine;    /* library, version, device and precision; valid until the embedder is destroyed */
  /* Lengths are samples at `sample_rate`, whether the model takes features or samples. A caller with a shorter struct
   * does not get these. */
  int64_t min_samples;         /* the shortest recording that the model takes */
  int64_t window_samples;      /* the model takes only this length; 0: any, see max_frames of the options */
  int64_t window_step_samples; /* distance between the starts of windows; the embedding is the mean over the windows;
                                * 0: no windows, a model of one length uses only the start of a recording */
} mindvox_description;

/* Loads an exported model: .onnx or .xml in OpenVINO, .mindir in MindSpore Lite; FILE.json must be beside it. The model
 * may take features, which the library computes for the front ends fbank, kaldi_fbank and samples. Or it may have any
 * front end inside (exported with --input=waveform; float32 only). MINDVOX_ERROR_MODEL: the model takes features of
 * another front end, or its front end detects speech first.
 *
 * options: NULL for the defaults.
 */
MINDVOX_API mindvox_status mindvox_embedder_create(const char* model_file, const mindvox_options* options,
                                                   mindvox_embedder** embedder);

/* Frees an embedder. NULL is allowed. */
MINDVOX_API mindvox_status mindvox_embedder_destroy(mindvox_embedder* embedder);

MINDVOX_API mindvox_status mindvox_embedder_describe(mindvox_embedder* embedder, mindvox_description* description);

/* Writes the embedding of samples whose full scale is 1.
 *
 * sample_rate: rate of the samples, Hz, 2000 to 768000.
 * embedding_size: size of the array `embedding`; it must equal embedding_size of the description.
 */
MINDVOX_API mindvox_status mindvox_embed(mindvox_embedder* embedder, const float* samples, size_t num_samples,
                                         int32_t sample_rate, float* embedding, size_t embedding_size);

/* As mindvox_embed(), for 16-bit samples: full scale is 32768. */
MINDVOX_API mindvox_status mindvox_embed_int16(mindvox_embedder* embedder, const int16_t* samples, size_t num_samples,
                                               int32_t sample_rate, float* embedding, size_t embedding_size);

/* As mindvox_embed(), for a recording in any format that libsndfile reads; its channels are averaged. */
MINDVOX_API mindvox_status mindvox_embed_file(mindvox_embedder* embedder, const char* file, float* embedding,
                                              size_t embedding_size);

/* Writes the cosine of two embeddings, -1 to 1. */
MINDVOX_API mindvox_status mindvox_cosine(const float* a, const float* b, size_t embedding_size, double* cosine);

/* ---- A set of speakers in memory ---- */

typedef struct mindvox_speakers mindvox_speakers;
typedef struct mindvox_matches mindvox_matches;

/* Makes an empty set for embeddings of this size. It needs no engine and no embedder. */
MINDVOX_API mindvox_status mindvox_speakers_create(size_t embedding_size, mindvox_speakers** speakers);

/* Frees a set. NULL is allowed. */
MINDVOX_API mindvox_status mindvox_speakers_destroy(mindvox_speakers* speakers);

/* Adds a speaker with one or more embeddings: (num_embeddings, embedding_size), row by row. The speaker is represented
 * by the normalised mean of the normalised embeddings, as in `mindvox enrol`. MINDVOX_ERROR_EXISTS: the name exists;
 * remove that speaker first. */
MINDVOX_API mindvox_status mindvox_speakers_add(mindvox_speakers* speakers, const char* name, const float* embeddings,
                                                size_t num_embeddings, size_t embedding_size);

MINDVOX_API mindvox_status mindvox_speakers_remove(mindvox_speakers* speakers, const char* name);

MINDVOX_API mindvox_status mindvox_speakers_count(mindvox_speakers* speakers, size_t* count);

/* Writes 1 if there is a speaker of this name, else 0. */
MINDVOX_API mindvox_status mindvox_speakers_contains(mindvox_speakers* speakers, const char* name, int32_t* is_there);

/* Finds the speakers whose cosine with an embedding is at least `threshold`: at most the best `max_matches`, best
 * first, ties sorted by name. Threshold -1 accepts every speaker. If nobody is found, the matches are empty, without an
 * error. */
MINDVOX_API mindvox_status mindvox_speakers_search(mindvox_speakers* speakers, const float* embedding,
                                                   size_t embedding_size, double threshold, size_t max_matches,
                                                   mindvox_matches** matches);

/* Lists all speakers, sorted by the bytes of their names; the cosines are 0. */
MINDVOX_API mindvox_status mindvox_speakers_list(mindvox_speakers* speakers, mindvox_matches** matches);

/* Compares an embedding with one speaker. Writes 1 to `is_accepted` if the cosine is at least `threshold`, else 0,
 * and the cosine to `cosine`; either may be NULL. */
MINDVOX_API mindvox_status mindvox_speakers_verify(mindvox_speakers* speakers, const char* name, const float* embedding,
                                                   size_t embedding_size, double threshold, int32_t* is_accepted,
                                                   double* cosine);

MINDVOX_API mindvox_status mindvox_matches_count(mindvox_matches* matches, size_t* count);

/* Reads match number `index`, counted from 0; `name` or `cosine` may be NULL. The name is valid until the matches are
 * destroyed. */
MINDVOX_API mindvox_status mindvox_matches_get(mindvox_matches* matches, size_t index, const char** name,
                                               double* cosine);

/* Frees matches. NULL is allowed. */
MINDVOX_API mindvox_status mindvox_matches_destroy(mindvox_matches* matches);

#ifdef __cplusplus
}
#endif

#endif /* MINDVOX_MINDVOX_H_ */

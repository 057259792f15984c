/* Print the cosine of two recordings: compare MODEL A.wav B.wav [OUTPUT]
 *
 * OUTPUT: both embeddings are written to this file, as float32 one after the other. */
#include <mindvox/mindvox.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(const char* what) {
  fprintf(stderr, "error: %s: %s\n", what, mindvox_last_error());
  return 1;
}

static int write_embeddings(const char* file, const float* embeddings, size_t count) {
  FILE* output = fopen(file, "wb");
  int is_written;
  if (output == NULL) return 0;
  is_written = fwrite(embeddings, sizeof *embeddings, count, output) == count;
  return fclose(output) == 0 && is_written;
}

/* Compares two recordings by an embedder whose embeddings have `size` numbers. */
static int compare(mindvox_embedder* embedder, size_t size, char** files, const char* output) {
  double cosine;
  int code = 0;
  float* embeddings = malloc(2 * size * sizeof *embeddings);
  if (embeddings == NULL) return 1;
  if (mindvox_embed_file(embedder, files[0], embeddings, size) != MINDVOX_OK ||
      mindvox_embed_file(embedder, files[1], embeddings + size, size) != MINDVOX_OK ||
      mindvox_cosine(embeddings, embeddings + size, size, &cosine) != MINDVOX_OK) {
    code = failed("compare");
  } else if (output != NULL && !write_embeddings(output, embeddings, 2 * size)) {
    fprintf(stderr, "error: %s: cannot be written\n", output);
    code = 1;
  } else {
    printf("cosine %.6f\n", cosine);
  }
  free(embeddings);
  return code;
}

int main(int argc, char** argv) {
  mindvox_embedder* embedder = NULL;
  mindvox_options options = MINDVOX_OPTIONS_INIT;
  mindvox_description description = {0};
  int code;
  if (argc < 4 || argc > 5) {
    fprintf(stderr, "usage: compare MODEL A.wav B.wav [OUTPUT]\n");
    return 2;
  }
  if (mindvox_version() / 100 != MINDVOX_VERSION / 100) {
    fprintf(stderr, "error: compiled for version %d of libmindvox, found %d\n", MINDVOX_VERSION,
            (int)mindvox_version());
    return 1;
  }
  options.num_threads = 1;
  if (mindvox_embedder_create(argv[1], &options, &embedder) != MINDVOX_OK) return failed("model");
  description.struct_size = sizeof description;
  code = mindvox_embedder_describe(embedder, &description) == MINDVOX_OK
             ? compare(embedder, description.embedding_size, argv + 2, argc == 5 ? argv[4] : NULL)
             : failed("model");
  mindvox_embedder_destroy(embedder);
  return code;
}

// Runs a signature of a SavedModel as a program without Python does: a program for `c_api_test`.
//
//   c_api_consumer MODEL INPUT uint8 B,H,W,C PIXELS OUTPUT...      PIXELS: a file of B H W C bytes
//   c_api_consumer MODEL INPUT string FILE,FILE,... OUTPUT...      a string a file
//
// INPUT and OUTPUT are tensors of the graph, NAME:INDEX, as `saved_model_cli show` tells them.
// Writes of each OUTPUT, which is float32, its rank and sides, int64, and its numbers.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

#define MAX_OUTPUTS 32
#define MAX_PARTS 64

static void fail(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(TF_Status* status, const char* what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

// The whole file; the caller frees it.
static char* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  if (!file) fail(path, "cannot be opened");
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char* content = malloc(*size + 1);
  if (fread(content, 1, *size, file) != *size) fail(path, "cannot be read");
  fclose(file);
  return content;
}

// Takes a list apart at its commas, in place.
static int split(char* list, char** parts) {
  int count = 0;
  for (char* part = strtok(list, ","); part; part = strtok(NULL, ",")) {
    if (count == MAX_PARTS) fail("A list", "has too many parts");
    parts[count++] = part;
  }
  return count;
}

static TF_Tensor* pixels(char* sides, const char* path) {
  char* parts[MAX_PARTS];
  int rank = split(sides, parts);
  int64_t shape[MAX_PARTS];
  size_t expected = 1, size;
  for (int i = 0; i < rank; ++i) expected *= (size_t)(shape[i] = atoll(parts[i]));
  char* content = read_file(path, &size);
  if (size != expected) fail(path, "is not of the size that its shape says");
  TF_Tensor* tensor = TF_AllocateTensor(TF_UINT8, shape, rank, size);
  memcpy(TF_TensorData(tensor), content, size);
  free(content);
  return tensor;
}

static TF_Tensor* strings(char* paths) {
  char* parts[MAX_PARTS];
  int64_t count = split(paths, parts);
  TF_Tensor* tensor = TF_AllocateTensor(TF_STRING, &count, 1, (size_t)count * sizeof(TF_TString));
  TF_TString* elements = TF_TensorData(tensor);
  for (int i = 0; i < count; ++i) {
    size_t size;
    char* content = read_file(parts[i], &size);
    TF_StringInit(&elements[i]);
    TF_StringCopy(&elements[i], content, size);
    free(content);
  }
  return tensor;
}

static TF_Output find(TF_Graph* graph, char* tensor) {
  char* colon = strrchr(tensor, ':');
  if (!colon) fail(tensor, "expected NAME:INDEX");
  *colon = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, tensor), atoi(colon + 1)};
  if (!output.oper) fail(tensor, "is not in the graph");
  return output;
}

static void write_tensor(TF_Tensor* tensor) {
  if (TF_TensorType(tensor) != TF_FLOAT) fail("An output", "is not float32");
  int64_t rank = TF_NumDims(tensor);
  fwrite(&rank, sizeof rank, 1, stdout);
  for (int i = 0; i < rank; ++i) {
    int64_t side = TF_Dim(tensor, i);
    fwrite(&side, sizeof side, 1, stdout);
  }
  fwrite(TF_TensorData(tensor), 1, TF_TensorByteSize(tensor), stdout);
}

int main(int argc, char** argv) {
  int is_strings = argc > 3 && !strcmp(argv[3], "string");
  int first = is_strings ? 5 : 6;
  int count = argc - first;
  if (count < 1 || count > MAX_OUTPUTS) fail(argv[0], "see the usage in the source");

  TF_Status* status = TF_NewStatus();
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(status, "Loading");

  TF_Output input = find(graph, argv[2]);
  TF_Tensor* fed = is_strings ? strings(argv[4]) : pixels(argv[4], argv[5]);
  TF_Output outputs[MAX_OUTPUTS];
  TF_Tensor* fetched[MAX_OUTPUTS];
  for (int i = 0; i < count; ++i) outputs[i] = find(graph, argv[first + i]);
  TF_SessionRun(session, NULL, &input, &fed, 1, outputs, fetched, count, NULL, 0, NULL, status);
  check(status, "Running");
  for (int i = 0; i < count; ++i) {
    write_tensor(fetched[i]);
    TF_DeleteTensor(fetched[i]);
  }

  TF_DeleteTensor(fed);
  TF_CloseSession(session, status);
  check(status, "Closing");
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}

// What the fake library shall do, and what it saw. Plain data: it crosses two ABIs of the standard library.
#ifndef FAKE_MSLITE_CONTROL_H_
#define FAKE_MSLITE_CONTROL_H_

#include <cstdint>

struct FakeLite {
  // To be set by tests.
  const char* failing_call = "";  // the method whose Status is a failure
  const char* log = "";           // what Build writes to stderr
  const char* version = "2.7.0";  // "": says nothing, as Lite 2.0.0
  bool has_ascend = false;        // the plugin can be loaded
  int num_inputs = 1;
  int num_outputs = 1;
  bool has_input_memory = true;
  bool has_output_memory = true;
  bool is_float32 = true;
  bool resizes_to_other_shape = false;
  int64_t surplus_values = 0;      // more than emb_size in an embedding
  int64_t shape[3] = {-1, -1, 4};  // of the input after Build
  int64_t emb_size = 3;

  // What Build was given.
  bool is_ascend = false;
  bool is_float16 = false;
  uint32_t device_id = 0;
  int num_threads = 0;
  char precision_mode[32] = "";
  char input_shape[64] = "";
  char config[256] = "";

  int num_resizes = 0;
};

// The one that the library acts by.
extern "C" FakeLite* FakeLiteControl();

#endif  // FAKE_MSLITE_CONTROL_H_

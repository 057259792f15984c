// Runs a model in MindSpore Lite on the CPU and writes all its outputs: the program itself takes features alone, and
// reads the first output alone. Usage: lite_outputs MODEL INPUT SHAPE OUTPUT, where INPUT is bare float32, SHAPE such
// as 1,301,80, and OUTPUT.0, OUTPUT.1, ... are written.
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "include/api/context.h"
#include "include/api/model.h"

namespace {

void Check(const mindspore::Status& status, const char* call) {
  if (!status.IsOk()) throw std::runtime_error(std::string(call) + ": " + status.GetErrDescription());
}

void Run(char** argv) {
  std::vector<int64_t> shape;
  std::istringstream sizes(argv[3]);
  for (std::string size; std::getline(sizes, size, ',');) shape.push_back(std::stoll(size));
  std::ifstream stream(argv[2], std::ios::binary);
  const std::string values{std::istreambuf_iterator<char>(stream), {}};

  auto context = std::make_shared<mindspore::Context>();
  context->MutableDeviceInfo().push_back(std::make_shared<mindspore::CPUDeviceInfo>());
  mindspore::Model model;
  Check(model.Build(std::string(argv[1]), mindspore::kMindIR, context), "Build");
  std::vector<mindspore::MSTensor> inputs = model.GetInputs();
  if (inputs.at(0).Shape() != shape) {
    Check(model.Resize(inputs, {shape}), "Resize");
    inputs = model.GetInputs();
  }
  if (inputs.at(0).DataSize() != values.size()) throw std::runtime_error("the input has another size");
  std::memcpy(inputs[0].MutableData(), values.data(), values.size());
  std::vector<mindspore::MSTensor> outputs;
  Check(model.Predict(inputs, &outputs), "Predict");
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::ofstream file(std::string(argv[4]) + "." + std::to_string(i), std::ios::binary);
    const std::shared_ptr<const void> data = outputs[i].Data();
    file.write(static_cast<const char*>(data.get()), static_cast<std::streamsize>(outputs[i].DataSize()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  try {
    Run(argv);
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}

#include "fuzz/fuzz.h"
#include "src/names.h"
#include "src/text.h"

// A name is its own name; what is printed is UTF-8.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ecapa::Fuzz(data, size, [](std::string_view text) {
    ecapa::Require(ecapa::IsUtf8(ecapa::Printable(text)));
    ecapa::IsAudioName(text);
    const std::string name = ecapa::UtteranceName(text, "fuzz.txt");
    ecapa::Require(!name.empty() && name.front() != '/');
    const bool has_drive = name.size() > 2 && name[1] == ':';  // `./C:/a`: a folder in the one, a drive in the other
    ecapa::Require(has_drive || ecapa::UtteranceName(name, "fuzz.txt") == name);
    ecapa::Names names;
    const std::string found = names.Find(text, "fuzz.txt");
    ecapa::Require(name.size() >= found.size() && name.compare(name.size() - found.size(), found.size(), found) == 0);
    ecapa::Require(names.Find(text, "fuzz.txt") == found);
  });
}

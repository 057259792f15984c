// Tell who speaks: identify MODEL THRESHOLD NAME=ENROL.wav... WHO.wav...
//
// Several recordings of one name are one speaker. Each further recording is given the best three names whose cosine is
// at least THRESHOLD.
#include <exception>
#include <iostream>
#include <map>
#include <mindvox/mindvox.hpp>
#include <string>
#include <vector>

namespace {

void Identify(const std::string& model, double threshold, const std::vector<std::string>& words) {
  const mindvox::Embedder embedder(model);
  std::map<std::string, std::vector<std::vector<float>>> enrolled;
  std::vector<std::string> unknown;
  for (const auto& word : words) {
    const size_t end_of_name = word.find('=');
    if (end_of_name == std::string::npos) {
      unknown.push_back(word);
    } else {
      enrolled[word.substr(0, end_of_name)].push_back(embedder.EmbedFile(word.substr(end_of_name + 1)));
    }
  }
  mindvox::Speakers speakers(embedder.embedding_size());
  for (const auto& [name, embeddings] : enrolled) speakers.Add(name, embeddings);

  for (const auto& file : unknown) {
    const auto matches = speakers.Search(embedder.EmbedFile(file), threshold, 3);
    std::cout << file << ":" << (matches.empty() ? " unknown" : "");
    for (const auto& [name, cosine] : matches) std::cout << " " << name << " " << std::fixed << cosine;
    std::cout << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::cerr << "usage: identify MODEL THRESHOLD NAME=ENROL.wav... WHO.wav...\n";
    return 2;
  }
  try {
    Identify(argv[1], std::stod(argv[2]), {argv + 3, argv + argc});
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}

// Embeddings that are kept while a run goes on, so that a run that was killed goes on where it stopped.
#ifndef ECAPA_PARTS_H_
#define ECAPA_PARTS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecapa {

// Embeddings by the row of their utterance.
using Rows = std::map<size_t, std::vector<float>>;

// The finished utterances of a run, in files `part-<number>` of a folder beside `plan.json`, which says what they
// follow from. A file is written beside its name and renamed, once in a while; a run of less than a second writes none.
class Parts {
 public:
  // Reads what an earlier run of the same plan left; files of another plan, and damaged ones, do not count.
  //
  // Args:
  //   plan: all that the embeddings and their rows follow from.
  //   emb_size: numbers of an embedding.
  Parts(std::filesystem::path folder, nlohmann::json plan, int64_t emb_size);

  // Of earlier runs.
  const Rows& found() const { return found_; }

  // Takes finished utterances, and writes them with others when that is due. May be called from several threads; throws
  // InputError when a file cannot be written.
  void Add(const Rows& rows);

  // Removes the folder. To be called when the embeddings are saved.
  void Remove() const;

 private:
  using Clock = std::chrono::steady_clock;

  bool IsDue() const;
  void Write();

  const std::filesystem::path folder_;
  const nlohmann::json plan_;
  const int64_t emb_size_;
  const Clock::time_point start_ = Clock::now();
  Rows found_;
  std::mutex mutex_;  // of all below
  Rows pending_;
  Clock::time_point written_ = start_;
  size_t next_number_ = 0;  // files are numbered without a gap
  bool has_plan_ = false;   // the folder is there, with this run's plan
};

// Returns the content of a part's file: the number of rows, then the rows, as int64, then the embeddings, float32.
std::string PartContent(const Rows& rows);

// Returns the rows in a part's file; nothing when it is damaged or of another size of embeddings.
std::optional<Rows> ParsePart(std::string_view content, int64_t emb_size);

}  // namespace ecapa

#endif  // ECAPA_PARTS_H_

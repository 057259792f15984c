#include "src/parts.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <utility>

#include "src/errors.h"
#include "src/exported_model.h"
#include "src/feature_ops.h"
#include "src/files.h"

namespace ecapa {
namespace {

using nlohmann::json;

constexpr char kPlan[] = "plan.json";
constexpr char kPrefix[] = "part-";
// What a killed run loses at most: a second, or a hundredth of the time that it ran. Long runs write few files.
constexpr double kLeastInterval_s = 1;
constexpr double kIntervalShare = 0.01;

template <typename Value>
void Append(const Value* values, size_t count, std::string* content) {
  content->append(reinterpret_cast<const char*>(values), count * sizeof(Value));
}

bool IsPlan(const std::filesystem::path& file, const json& plan) {
  try {
    return ParseJson(ReadText(file), file.string()) == plan;
  } catch (const InputError&) {
    return false;  // there is none, or a damaged one
  }
}

}  // namespace

Parts::Parts(std::filesystem::path folder, json plan, int64_t emb_size)
    : folder_(std::move(folder)), plan_(std::move(plan)), emb_size_(emb_size) {
  if (!IsPlan(folder_ / kPlan, plan_)) {
    Remove();
    return;
  }
  has_plan_ = true;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(kPrefix, 0) != 0) continue;
    ++next_number_;
    const InputFile file(entry.path());
    std::string content(static_cast<size_t>(file.size()), '\0');
    file.ReadAt(0, content.data(), content.size());
    if (auto rows = ParsePart(content, emb_size_)) found_.merge(*rows);
  }
}

void Parts::Add(const Rows& rows) {
  const std::lock_guard<std::mutex> lock(mutex_);
  pending_.insert(rows.begin(), rows.end());
  if (!pending_.empty() && IsDue()) Write();
}

void Parts::Remove() const {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
  if (error) throw InputError(Concat(folder_.string(), ": ", error.message(), "."));
}

bool Parts::IsDue() const {
  const auto seconds = [](Clock::duration duration) { return std::chrono::duration<double>(duration).count(); };
  const auto now = Clock::now();
  return seconds(now - written_) >= std::max(kLeastInterval_s, kIntervalShare * seconds(now - start_));
}

void Parts::Write() {
  if (!has_plan_) {
    MakeFolder(folder_);
    WriteFile(folder_ / kPlan, {JsonText(plan_)});
    has_plan_ = true;
  }
  char name[32];
  std::snprintf(name, sizeof name, "%s%06zu", kPrefix, next_number_++);
  WriteFile(folder_ / name, {PartContent(pending_)});
  pending_.clear();
  written_ = Clock::now();
}

std::string PartContent(const Rows& rows) {
  const auto count = static_cast<int64_t>(rows.size());
  std::string content;
  Append(&count, 1, &content);
  for (const auto& [row, embedding] : rows) {
    const auto number = static_cast<int64_t>(row);
    Append(&number, 1, &content);
  }
  for (const auto& [row, embedding] : rows) Append(embedding.data(), embedding.size(), &content);
  return content;
}

std::optional<Rows> ParsePart(std::string_view content, int64_t emb_size) {
  constexpr size_t kNumberBytes = sizeof(int64_t);
  const size_t embedding_bytes = sizeof(float) * static_cast<size_t>(emb_size);
  const auto number_at = [&](size_t offset) {
    int64_t number = 0;
    std::memcpy(&number, content.data() + offset, kNumberBytes);
    return number;
  };
  if (content.size() < kNumberBytes) return std::nullopt;
  const auto count = static_cast<size_t>((content.size() - kNumberBytes) / (kNumberBytes + embedding_bytes));
  if ((content.size() - kNumberBytes) % (kNumberBytes + embedding_bytes) != 0) return std::nullopt;
  if (number_at(0) != static_cast<int64_t>(count)) return std::nullopt;
  Rows rows;
  for (size_t i = 0; i < count; ++i) {
    const int64_t row = number_at(kNumberBytes * (1 + i));
    std::vector<float> embedding(static_cast<size_t>(emb_size));
    std::memcpy(embedding.data(), content.data() + kNumberBytes * (1 + count) + i * embedding_bytes, embedding_bytes);
    if (row < 0 || !AllFinite(embedding.data(), embedding.size())) return std::nullopt;
    if (!rows.emplace(static_cast<size_t>(row), std::move(embedding)).second) return std::nullopt;
  }
  return rows;
}

}  // namespace ecapa

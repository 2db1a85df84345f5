// Listing images and writing results.
#include "files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>

#include "error.h"

namespace seg {
namespace fs = std::filesystem;
namespace {

constexpr char kTimes[] = "test_perform_static.txt";

bool IsPng(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending == ".png";
}

[[noreturn]] void ThrowUnwritable(const fs::path& path, const std::string& reason) {
  throw UserError("result_path: cannot write " + path.string() + " (" + reason + "); give another folder");
}

void MakeFolder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) ThrowUnwritable(folder, error.message());
  const fs::path probe = folder / ".writable";
  FILE* file = std::fopen(probe.c_str(), "wb");
  if (file == nullptr) ThrowUnwritable(folder, std::strerror(errno));
  std::fclose(file);
  fs::remove(probe, error);
}

}  // namespace

std::vector<Input> ListImages(const std::string& root, bool colored) {
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    throw UserError("dataset_path: folder " + root + " does not exist; give the folder of the images");
  }
  std::vector<Input> inputs;
  const auto options = fs::directory_options::follow_directory_symlink;
  for (const auto& entry : fs::recursive_directory_iterator(root, options, error)) {
    if (!IsPng(entry.path()) || !entry.is_regular_file()) continue;
    if (entry.path().filename().string().front() == '.') continue;
    inputs.push_back({entry.path().string(), entry.path().stem().string()});
  }
  if (error) throw UserError("dataset_path: " + root + " cannot be read (" + error.message() + ")");
  if (inputs.empty()) throw UserError("dataset_path: " + root + " holds no .png files; give the folder of the images");
  std::sort(inputs.begin(), inputs.end(), [](const Input& a, const Input& b) { return a.path < b.path; });
  std::map<std::string, std::string> seen;
  for (const Input& input : inputs) {
    const auto [place, is_new] = seen.emplace(input.stem, input.path);
    if (!is_new) {
      throw UserError("dataset_path: " + place->second + " and " + input.path +
                      " would give results of the same name; give one of their folders");
    }
  }
  for (const Input& input : inputs) {
    const auto other = seen.find(input.stem + "_color");
    if (colored && other != seen.end()) {
      throw UserError("dataset_path: the colours of " + input.path + " and the labels of " + other->second +
                      " would have the same name; rename one, or leave out --color");
    }
  }
  return inputs;
}

Results::Results(const std::string& root, bool with_labels)
    : bins_(fs::path(root) / "result_Files"), labels_(fs::path(root) / "label_Files"),
      times_(fs::path(root) / "time_Result") {
  MakeFolder(bins_);
  MakeFolder(times_);
  if (with_labels) MakeFolder(labels_);
  std::error_code error;
  fs::remove(times_ / kTimes, error);
}

Results::~Results() {
  if (keep_) return;
  std::error_code ignored;
  for (const auto& path : written_) fs::remove(path, ignored);
}

void Results::WriteBin(const std::string& name, const void* data, size_t size) { Write(bins_ / name, data, size); }

void Results::WriteLabel(const std::string& name, const std::vector<uint8_t>& data) {
  Write(labels_ / name, data.data(), data.size());
}

void Results::WriteTimes(const std::string& text) { Write(times_ / kTimes, text.data(), text.size()); }

std::string Results::Describe() const { return bins_.parent_path().lexically_normal().string(); }

void Results::Write(const fs::path& path, const void* data, size_t size) {
  fs::path temporary = path;
  temporary += ".tmp";
  FILE* file = std::fopen(temporary.c_str(), "wb");
  if (file == nullptr) ThrowUnwritable(path, std::strerror(errno));
  bool good = std::fwrite(data, 1, size, file) == size;
  good = std::fclose(file) == 0 && good;
  const int code = errno;
  std::error_code error;
  if (!good) {
    fs::remove(temporary, error);
    ThrowUnwritable(path, std::strerror(code));
  }
  fs::rename(temporary, path, error);
  if (error) ThrowUnwritable(path, error.message());
  const std::lock_guard<std::mutex> lock(mutex_);
  written_.push_back(path);
}

}  // namespace seg

// The data set's files and the folder of results.
#pragma once
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

namespace seg {

struct Input {
  std::string path;
  std::string stem;  // the name without its ending; results are named after it
};

// Every .png at or below `root`, sorted; hidden files, as macOS writes them, are left out. Throws UserError: no folder,
// no images, two images of one name or, when labels are also `colored`, x.png beside x_color.png.
std::vector<Input> ListImages(const std::string& root, bool colored = false);

// Files of one run. Each appears by rename. Unless Keep() was called, the destructor removes them again, so that a
// failed run leaves nothing that looks complete.
class Results {
 public:
  // Makes the folders and removes the time file of an earlier run. Throws UserError when a folder cannot be written.
  Results(const std::string& root, bool with_labels);
  ~Results();
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;

  void WriteBin(const std::string& name, const void* data, size_t size);
  void WriteLabel(const std::string& name, const std::vector<uint8_t>& data);
  void WriteTimes(const std::string& text);  // time_Result/test_perform_static.txt
  void Keep() { keep_ = true; }
  std::string Describe() const;

 private:
  void Write(const std::filesystem::path& path, const void* data, size_t size);

  std::filesystem::path bins_, labels_, times_;
  std::mutex mutex_;
  std::vector<std::filesystem::path> written_;
  bool keep_ = false;
};

}  // namespace seg

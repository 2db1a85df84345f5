// Reading the description and comparing it with the model; src/export/description.py is its Python side.
#include "description.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "error.h"

namespace seg {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;
constexpr int kLargest = 16384;  // pixels of a side
constexpr size_t kMostClasses = 255;
constexpr char kAgain[] = "; export it again with export.py";

void Need(bool good, const std::string& key) {
  if (!good) throw std::invalid_argument("its " + key + " is wrong");
}

// The text at `key`, true when it is the first of the two that it may be.
bool IsFirst(const Json& from, const char* key, const std::string& first, const std::string& second) {
  const std::string text = from.at(key).get<std::string>();
  Need(text == first || text == second, key);
  return text == first;
}

// `count` whole numbers from `low` to `high`. The library itself would round and cut them.
std::vector<int> Whole(const Json& values, size_t count, int low, int high, const char* key) {
  Need(values.is_array() && values.size() == count, key);
  std::vector<int> result;
  for (const Json& value : values) {
    const int64_t number = value.is_number_integer() ? value.get<int64_t>() : int64_t{low} - 1;
    Need(number >= low && number <= high, key);
    result.push_back(static_cast<int>(number));
  }
  return result;
}

// Three numbers of at least `low`.
std::array<float, 3> Triple(const Json& from, const char* key, double low) {
  const auto values = from.at(key).get<std::vector<double>>();
  const bool good = std::all_of(values.begin(), values.end(), [&](double v) { return v >= low && v <= 1e6; });
  Need(values.size() == 3 && good, key);
  return {static_cast<float>(values[0]), static_cast<float>(values[1]), static_cast<float>(values[2])};
}

std::vector<Color> Colors(const Json& from) {
  const size_t classes = from.at("classes").get<std::vector<std::string>>().size();
  Need(classes >= 1 && classes <= kMostClasses, "classes");
  const Json& rows = from.at("colors");
  Need(rows.is_array() && rows.size() == classes, "colors");
  std::vector<Color> colors;
  for (const Json& values : rows) {
    const std::vector<int> row = Whole(values, 3, 0, 255, "colors");
    colors.push_back({static_cast<uint8_t>(row[0]), static_cast<uint8_t>(row[1]), static_cast<uint8_t>(row[2])});
  }
  return colors;
}

// Throws std::exception, of the library or of Need, with what is wrong.
ModelDescription Parse(const Json& json) {
  ModelDescription result;
  Need(json.at("format") == kFormat, "format");
  const Json& input = json.at("input");
  result.pixels = IsFirst(input, "layout", "NHWC", "NCHW");
  Need(IsFirst(input, "dtype", "uint8", "float32") == result.pixels, "dtype");
  const std::vector<int> size = Whole(input.at("size"), 2, 1, kLargest, "size");
  result.height = size[0];
  result.width = size[1];
  const Json& pixels = json.at("pixels");
  result.bgr = IsFirst(pixels, "order", "BGR", "RGB");
  result.mean = Triple(pixels, "mean", -1e6);
  result.std = Triple(pixels, "std", 1e-6);
  result.resize = IsFirst(pixels, "resize", "bicubic", "bilinear") ? Filter::kBicubic : Filter::kBilinear;
  const auto outputs = json.at("outputs").get<std::vector<std::string>>();
  const auto place = std::find(outputs.begin(), outputs.end(), json.at("prediction").get<std::string>());
  Need(place != outputs.end(), "prediction");
  result.outputs = outputs.size();
  result.prediction = static_cast<size_t>(place - outputs.begin());
  result.aligned_corners = json.at("aligned_corners").get<bool>();
  result.argmax = json.at("argmax").get<bool>();
  result.colors = Colors(json);
  return result;
}

}  // namespace

ModelDescription ReadDescription(const std::string& model_path) {
  const std::string path = std::filesystem::path(model_path).replace_extension(".json").string();
  std::ifstream file(path);
  if (!file) throw UserError(path + ": the description of " + model_path + " is missing" + kAgain);
  try {
    ModelDescription result = Parse(Json::parse(file));
    result.path = path;
    return result;
  } catch (const std::exception& error) {
    throw UserError(path + ": is damaged (" + error.what() + ")" + kAgain);
  }
}

void CheckModel(const ModelDescription& description, const Engine& engine) {
  const auto refuse = [&](const std::string& described, const std::string& found) {
    throw UserError(description.path + ": describes another model, with " + described + " instead of " + found +
                    kAgain);
  };
  const TensorInfo& input = engine.input();
  const int64_t batch = input.shape.empty() ? 1 : std::max<int64_t>(input.shape[0], 1);
  const int64_t height = description.height, width = description.width;
  const TensorInfo wanted =
      description.pixels ? TensorInfo{input.name, Type::kUint8, {batch, height, width, 3}}
                         : TensorInfo{input.name, Type::kFloat32, {batch, 3, height, width}};
  if (input.shape != wanted.shape || input.type != wanted.type) refuse(ToText(wanted), ToText(input));
  const std::vector<TensorInfo>& outputs = engine.outputs();
  if (outputs.size() != description.outputs) {
    refuse(std::to_string(description.outputs) + " outputs", std::to_string(outputs.size()));
  }
  const auto classes = static_cast<int64_t>(description.colors.size());
  for (const TensorInfo& output : outputs) {
    const auto& shape = output.shape;
    const bool images = !shape.empty() && shape[0] == batch && *std::min_element(shape.begin(), shape.end()) >= 1;
    const bool is_float = output.type == Type::kFloat32;
    const bool fits = description.argmax ? shape.size() == 3 && !is_float
                                         : shape.size() == 4 && is_float && shape[1] == classes;
    const std::string logits = "float32 logits of " + std::to_string(classes) + " classes";
    if (!images || !fits) refuse(description.argmax ? "label maps" : logits, ToText(output));
  }
}

}  // namespace seg

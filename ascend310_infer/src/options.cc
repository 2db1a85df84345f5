// Flags: ModelZoo's names where there are such.
#include "options.h"

#include <functional>
#include <limits>
#include <map>
#include <set>

#include "error.h"

namespace seg {
namespace {

constexpr int kAny = std::numeric_limits<int>::max();
constexpr int kMostWorkers = 256;
constexpr int kLargest = 16384;  // pixels of a side

int ToInt(const std::string& name, const std::string& text, int low, int high = kAny) {
  try {
    size_t used = 0;
    const long value = std::stol(text, &used);
    if (used == text.size() && value >= low && value <= high) return static_cast<int>(value);
  } catch (const std::exception&) {
  }
  const std::string range = high == kAny ? "of at least " + std::to_string(low)
                                         : "from " + std::to_string(low) + " to " + std::to_string(high);
  throw UserError(name + ": must be a whole number " + range + ", not '" + text + "'");
}

bool ToBool(const std::string& name, const std::string& text) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  throw UserError(name + ": must be true or false, not '" + text + "'");
}

using Setter = std::function<void(const std::string& name, const std::string& text)>;

std::map<std::string, Setter> Setters(Options* o) {
  auto text = [](std::string* to) { return [to](const std::string&, const std::string& value) { *to = value; }; };
  auto number = [](auto* to, int low, int high = kAny) {
    return [=](const std::string& name, const std::string& value) { *to = ToInt(name, value, low, high); };
  };
  auto flag = [](bool* to) {
    return [to](const std::string& name, const std::string& value) { *to = ToBool(name, value); };
  };
  std::map<std::string, Setter> setters{
      {"model_path", text(&o->engine.model_path)},
      {"mindir_path", text(&o->engine.model_path)},
      {"om_path", text(&o->engine.model_path)},
      {"dataset_path", text(&o->dataset_path)},
      {"input0_path", text(&o->dataset_path)},
      {"result_path", text(&o->result_path)},
      {"device_id", number(&o->engine.device_id, 0)},
      {"batch_size", number(&o->engine.batch_size, 1)},
      {"threads", number(&o->engine.threads, 0)},
      {"workers", number(&o->pipeline.workers, 1, kMostWorkers)},
      {"warmup", number(&o->warmup, 0)},
      {"loop", number(&o->loop, 0)},
      {"bins", flag(&o->pipeline.bins)},
      {"labels", flag(&o->pipeline.labels)},
      {"color", flag(&o->pipeline.color)},
      {"help", flag(&o->help)},
  };
  setters["precision"] = [o](const std::string& name, const std::string& value) {
    if (value != "f32" && value != "bf16") throw UserError(name + ": must be f32 or bf16, not '" + value + "'");
    o->engine.precision = value;
  };
  setters["output_size"] = [o](const std::string& name, const std::string& value) {
    const size_t comma = value.find(',');
    if (comma == std::string::npos) throw UserError(name + ": must be W,H like 2048,1024, not '" + value + "'");
    o->pipeline.label_width = ToInt(name, value.substr(0, comma), 1, kLargest);
    o->pipeline.label_height = ToInt(name, value.substr(comma + 1), 1, kLargest);
  };
  return setters;
}

const std::set<std::string> kSwitches{"bins", "labels", "color", "help"};

}  // namespace

Options ParseOptions(int argc, const char* const* argv) {
  Options options;
  const auto setters = Setters(&options);
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) throw UserError("'" + word + "' is not an option; write --name value, or --help");
    const size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    const auto setter = setters.find(name);
    if (setter == setters.end()) throw UserError("option --" + name + " is unknown; --help lists the options");
    const bool has_next = i + 1 < argc && std::string(argv[i + 1]).rfind("--", 0) != 0;
    if (equals != std::string::npos) {
      setter->second(name, word.substr(equals + 1));
    } else if (has_next) {
      setter->second(name, argv[++i]);
    } else if (kSwitches.count(name) != 0) {
      setter->second(name, "true");
    } else {
      throw UserError("option --" + name + " needs a value");
    }
  }
  if (options.help) return options;
  if (options.engine.model_path.empty()) throw UserError("model_path: name the model, --model_path FILE");
  if (options.dataset_path.empty()) throw UserError("dataset_path: name the folder of images, --dataset_path FOLDER");
  return options;
}

const char* Usage() {
  return R"(Segments every PNG of a folder.
  --model_path FILE     .om (AscendCL), .onnx or .xml (OpenVINO), .mindir (MindSpore Lite); also --mindir_path;
                        export.py's description of it (.json) lies beside it
  --dataset_path DIR    searched through for .png files
  --device_id N         the chip (0)
  --batch_size N        images at once; the model's own, or 1 when that is open
  --result_path DIR     result_Files/, time_Result/ and label_Files/ go here (.)
  --bins true|false     write <stem>_<i>.bin, the raw outputs (true)
  --labels              write label_Files/<stem>.png, trainIds
  --color               write label_Files/<stem>_color.png, in the colours of the description
  --output_size W,H     of the label maps, up to 16384 a side (each image's own)
  --warmup N            runs before the clock starts (1)
  --loop N              pure speed: run the first batch N times and write nothing else
  --workers N           threads that decode, and as many that write, up to 256 (2)
  --precision f32|bf16  of OpenVINO (f32)
  --threads N           of OpenVINO; 0 is all cores (0)
)";
}

}  // namespace seg

// Chooses the engine by the model's ending.
#include "engine.h"

#include <filesystem>
#include <functional>
#include <numeric>

#include "error.h"

namespace seg {

size_t SizeOf(Type type) { return type == Type::kUint8 ? 1 : type == Type::kInt64 ? 8 : 4; }

const char* NameOf(Type type) {
  switch (type) {
    case Type::kFloat32: return "float32";
    case Type::kUint8: return "uint8";
    case Type::kInt32: return "int32";
    case Type::kInt64: return "int64";
  }
  return "?";
}

size_t TensorInfo::Elements() const {
  return std::accumulate(shape.begin(), shape.end(), size_t{1}, std::multiplies<>());
}

std::string ToText(const TensorInfo& info) {
  std::string text = info.name + " " + NameOf(info.type) + " ";
  for (size_t i = 0; i < info.shape.size(); ++i) text += (i ? "x" : "") + std::to_string(info.shape[i]);
  return text;
}

void CheckPath(const std::string& model_path) {
  const std::filesystem::path path(model_path);
  const std::string ending = path.extension().string();
  const bool known = ending == ".om" || ending == ".onnx" || ending == ".xml" || ending == ".mindir";
  if (!known) {
    throw UserError("model " + model_path + ": is no .om, .onnx, .xml or .mindir file; see export.py");
  }
  if (!std::filesystem::is_regular_file(path)) {
    throw UserError("model " + model_path + ": does not exist; correct --model_path");
  }
}

std::unique_ptr<Engine> OpenEngine(const EngineOptions& options) {
  const std::string ending = std::filesystem::path(options.model_path).extension().string();
  auto not_built = [&](const std::string& engine, const std::string& how) -> std::unique_ptr<Engine> {
    throw UserError("model " + options.model_path + ": this program was built without " + engine + "; " + how);
  };
  if (ending == ".om") {
#ifdef WITH_ASCENDCL
    return OpenAscendEngine(options);
#else
    return not_built("AscendCL", "set ASCEND_HOME_PATH to the CANN toolkit and run build.sh again");
#endif
  }
  if (ending == ".mindir") {
#ifdef WITH_LITE
    return OpenLiteEngine(options);
#else
    return not_built("MindSpore Lite", "set MS_LITE_HOME to its folder and run build.sh again");
#endif
  }
#ifdef WITH_OPENVINO
  return OpenOpenvinoEngine(options);
#else
  return not_built("OpenVINO", "pip install openvino and run build.sh again");
#endif
}

}  // namespace seg

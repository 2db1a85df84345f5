// What runs a model: one interface, and behind it AscendCL (.om), OpenVINO (.onnx, .xml) or MindSpore Lite (.mindir).
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace seg {

using Bytes = std::vector<uint8_t>;

enum class Type { kFloat32, kUint8, kInt32, kInt64 };

size_t SizeOf(Type type);
const char* NameOf(Type type);

struct TensorInfo {
  std::string name;
  Type type = Type::kFloat32;
  std::vector<int64_t> shape;  // the first number is the batch

  size_t Elements() const;
  size_t ByteSize() const { return Elements() * SizeOf(type); }
};

std::string ToText(const TensorInfo& info);  // e.g. "image float32 1x3x512x1024"

// One model on one device, with a fixed batch. Not for several threads at once.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string Describe() const = 0;
  virtual const TensorInfo& input() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  // `input` holds input().ByteSize() bytes; `outputs` receives a buffer for each output.
  virtual void Infer(const Bytes& input, std::vector<Bytes>* outputs) = 0;
};

struct EngineOptions {
  std::string model_path;
  int device_id = 0;
  int64_t batch_size = 0;         // 0: the model's own, or 1 when that is open
  std::string precision = "f32";  // f32 or bf16, OpenVINO only
  int threads = 0;                // of OpenVINO; 0: all cores
};

// Throws UserError: no such model, or wrong kind.
void CheckPath(const std::string& model_path);

// The engine for the ending of the model's name. Throws UserError: engine not compiled in, damaged model, unknown
// device, batch that the model does not have.
std::unique_ptr<Engine> OpenEngine(const EngineOptions& options);

std::unique_ptr<Engine> OpenAscendEngine(const EngineOptions& options);
std::unique_ptr<Engine> OpenOpenvinoEngine(const EngineOptions& options);
std::unique_ptr<Engine> OpenLiteEngine(const EngineOptions& options);

}  // namespace seg

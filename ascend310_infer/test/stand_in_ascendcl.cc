// A stand-in for libascendcl, for tests: the functions that the engine uses, on OpenVINO. An ".om" file is an ONNX file.
//
// It is stricter than the library: calls out of order are errors, device memory cannot be touched by the program (its
// pages are locked except during a copy or a run), and whatever was not given back ends the process at aclFinalize.
// It proves order, sizes, pointers and tear-down; nothing about compilation for the chip, its accuracy or its speed.
//   STAND_IN_BATCHES=1,2,4   batches of a model whose batch is open
//   STAND_IN_FAIL=NAME       this function fails
//   STAND_IN_LOG=FILE        names of the functions called, one a line
#include <acl/acl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <openvino/frontend/manager.hpp>
#include <openvino/openvino.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

struct aclDataBuffer {
  void* memory;
  size_t size;
};
struct aclmdlDataset {
  std::vector<aclDataBuffer*> buffers;
  uint64_t batch = 0;
};

namespace {

struct Model {
  std::shared_ptr<ov::Model> graph;
  std::vector<uint64_t> gears;
  std::vector<std::string> input_names, output_names;
  std::map<uint64_t, ov::CompiledModel> compiled;
  uint64_t largest() const { return gears.empty() ? 0 : *std::max_element(gears.begin(), gears.end()); }
};

}  // namespace

struct aclmdlDesc {
  std::shared_ptr<Model> model;
};

namespace {

constexpr size_t kSelectorBytes = 8;

struct State {
  bool ready = false;
  int device = -1;
  std::unique_ptr<ov::Core> core;
  std::map<char*, size_t> memory;  // of the device
  std::map<uint32_t, std::shared_ptr<Model>> models;
  std::set<const void*> contexts, descriptions, datasets, buffers;
  uint32_t next_model = 1;
  std::string error;
} g;
thread_local const void* current_context = nullptr;

aclError Fail(aclError code, const std::string& text) {
  g.error = text;
  return code;
}

// Logs the call; true when the test wants it to fail.
bool Called(const char* name) {
  if (const char* log = std::getenv("STAND_IN_LOG")) {
    if (FILE* file = std::fopen(log, "a")) {
      std::fprintf(file, "%s\n", name);
      std::fclose(file);
    }
  }
  const char* wanted = std::getenv("STAND_IN_FAIL");
  g.error = std::string(name) + " was told to fail";
  return wanted != nullptr && std::strcmp(wanted, name) == 0;
}

#define ENTER(needs_context)                                                                     \
  if (Called(__func__)) return ACL_ERROR_INTERNAL_ERROR;                                         \
  if (!g.ready) return Fail(ACL_ERROR_UNINITIALIZE, std::string(__func__) + " before aclInit");  \
  if ((needs_context) && g.contexts.count(current_context) == 0)                                 \
  return Fail(ACL_ERROR_INVALID_PARAM, std::string(__func__) + " without a context on this thread")

size_t Pages(size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

// The block of device memory that holds [first, first + size), or the end.
std::map<char*, size_t>::iterator Find(const void* first, size_t size) {
  auto* address = static_cast<char*>(const_cast<void*>(first));
  auto it = g.memory.upper_bound(address);
  if (it == g.memory.begin()) return g.memory.end();
  --it;
  return address + size <= it->first + it->second ? it : g.memory.end();
}

// Opens the device's memory while it lives.
struct Unlocked {
  Unlocked() { Set(PROT_READ | PROT_WRITE); }
  ~Unlocked() { Set(PROT_NONE); }
  static void Set(int protection) {
    for (const auto& [address, size] : g.memory) mprotect(address, Pages(size), protection);
  }
};

aclDataType TypeOf(const ov::element::Type& type) {
  if (type == ov::element::f32) return ACL_FLOAT;
  if (type == ov::element::f16) return ACL_FLOAT16;
  if (type == ov::element::i32) return ACL_INT32;
  if (type == ov::element::i64) return ACL_INT64;
  return type == ov::element::u8 ? ACL_UINT8 : ACL_DT_UNDEFINED;
}

void Dims(const Model& model, const ov::Output<ov::Node>& port, int64_t batch, aclmdlIODims* dims) {
  *dims = {};
  for (const auto& axis : port.get_partial_shape()) {
    const bool open = dims->dimCount == 0 && !model.gears.empty();
    dims->dims[dims->dimCount++] = open ? batch : axis.get_length();
  }
}

size_t ByteSize(const Model& model, const ov::Output<ov::Node>& port) {
  aclmdlIODims dims;
  Dims(model, port, static_cast<int64_t>(model.largest()), &dims);
  size_t bytes = port.get_element_type().size();
  for (size_t i = 0; i < dims.dimCount; ++i) bytes *= static_cast<size_t>(dims.dims[i]);
  return bytes;
}

bool IsSelector(const aclmdlDesc* description, size_t index) {
  return !description->model->gears.empty() && index == description->model->graph->inputs().size();
}

}  // namespace

extern "C" {

aclError aclInit(const char*) {
  if (Called(__func__)) return ACL_ERROR_INTERNAL_ERROR;
  if (g.ready) return Fail(ACL_ERROR_REPEAT_INITIALIZE, "aclInit twice");
  g.ready = true;
  return ACL_SUCCESS;
}

aclError aclFinalize() {
  ENTER(false);
  const size_t left = g.memory.size() + g.models.size() + g.contexts.size() + g.descriptions.size() +
                      g.datasets.size() + g.buffers.size() + (g.device >= 0 ? 1 : 0);
  if (left != 0) {
    std::fprintf(stderr,
                 "stand-in: at aclFinalize %zu memory blocks, %zu models, %zu contexts, %zu descriptions, %zu data "
                 "sets, %zu buffers were not given back; device %d\n",
                 g.memory.size(), g.models.size(), g.contexts.size(), g.descriptions.size(), g.datasets.size(),
                 g.buffers.size(), g.device);
    std::abort();
  }
  g.ready = false;
  return ACL_SUCCESS;
}

const char* aclGetRecentErrMsg() { return g.error.c_str(); }
const char* aclrtGetSocName() { return "stand-in"; }

aclError aclrtGetDeviceCount(uint32_t* count) {
  ENTER(false);
  *count = 1;
  return ACL_SUCCESS;
}

aclError aclrtSetDevice(int32_t device) {
  ENTER(false);
  if (device != 0) return Fail(ACL_ERROR_INVALID_DEVICE, "no such device");
  g.device = device;
  g.core = std::make_unique<ov::Core>();
  return ACL_SUCCESS;
}

aclError aclrtResetDevice(int32_t device) {
  ENTER(false);
  if (device != g.device || !g.contexts.empty() || !g.memory.empty() || !g.models.empty()) {
    std::fprintf(stderr, "stand-in: aclrtResetDevice while the device is in use\n");
    std::abort();
  }
  g.device = -1;
  g.core.reset();
  return ACL_SUCCESS;
}

aclError aclrtCreateContext(aclrtContext* context, int32_t device) {
  ENTER(false);
  if (device != g.device) return Fail(ACL_ERROR_INVALID_DEVICE, "aclrtCreateContext before aclrtSetDevice");
  *context = new int(device);
  current_context = *context;
  g.contexts.insert(*context);
  return ACL_SUCCESS;
}

aclError aclrtDestroyContext(aclrtContext context) {
  ENTER(false);
  if (g.contexts.erase(context) == 0) return Fail(ACL_ERROR_INVALID_PARAM, "no such context");
  delete static_cast<int*>(context);
  return ACL_SUCCESS;
}

aclError aclrtGetRunMode(aclrtRunMode* mode) {
  ENTER(true);
  *mode = ACL_HOST;
  return ACL_SUCCESS;
}

aclError aclrtMalloc(void** memory, size_t size, aclrtMemMallocPolicy) {
  ENTER(true);
  if (size == 0) return Fail(ACL_ERROR_INVALID_PARAM, "aclrtMalloc of nothing");
  *memory = mmap(nullptr, Pages(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g.memory[static_cast<char*>(*memory)] = size;
  return ACL_SUCCESS;
}

aclError aclrtFree(void* memory) {
  ENTER(true);
  const auto it = g.memory.find(static_cast<char*>(memory));
  if (it == g.memory.end()) return Fail(ACL_ERROR_INVALID_PARAM, "aclrtFree of a foreign pointer");
  munmap(memory, Pages(it->second));
  g.memory.erase(it);
  return ACL_SUCCESS;
}

aclError aclrtMemcpy(void* to, size_t room, const void* from, size_t size, aclrtMemcpyKind kind) {
  ENTER(true);
  const auto none = g.memory.end();
  const bool up = kind == ACL_MEMCPY_HOST_TO_DEVICE && Find(to, size) != none && Find(from, 1) == none;
  const bool down = kind == ACL_MEMCPY_DEVICE_TO_HOST && Find(from, size) != none && Find(to, 1) == none;
  if (!up && !down) return Fail(ACL_ERROR_INVALID_PARAM, "aclrtMemcpy: pointers do not fit the direction");
  if (size > room) return Fail(ACL_ERROR_INVALID_PARAM, "aclrtMemcpy: more bytes than room");
  const Unlocked unlocked;
  std::memcpy(to, from, size);
  return ACL_SUCCESS;
}

aclError aclmdlLoadFromFile(const char* path, uint32_t* id) {
  ENTER(true);
  try {
    auto model = std::make_shared<Model>();
    const auto frontend = ov::frontend::FrontEndManager().load_by_framework("onnx");
    model->graph = frontend->convert(frontend->load(std::string(path)));
    for (const auto& port : model->graph->inputs()) model->input_names.push_back(port.get_any_name());
    for (const auto& port : model->graph->outputs()) model->output_names.push_back(port.get_any_name());
    if (model->graph->input(0).get_partial_shape()[0].is_dynamic()) {
      const char* gears = std::getenv("STAND_IN_BATCHES");
      std::stringstream list(gears != nullptr ? gears : "1");
      for (std::string item; std::getline(list, item, ',');) model->gears.push_back(std::stoull(item));
    }
    *id = g.next_model++;
    g.models[*id] = model;
    return ACL_SUCCESS;
  } catch (const std::exception&) {
    return Fail(ACL_ERROR_PARSE_MODEL, "the file is no model");
  }
}

aclError aclmdlUnload(uint32_t id) {
  ENTER(true);
  return g.models.erase(id) != 0 ? ACL_SUCCESS : Fail(ACL_ERROR_INVALID_MODEL_ID, "no such model");
}

aclmdlDesc* aclmdlCreateDesc() {
  auto* description = new aclmdlDesc();
  g.descriptions.insert(description);
  return description;
}

aclError aclmdlDestroyDesc(aclmdlDesc* description) {
  ENTER(true);
  if (g.descriptions.erase(description) == 0) return Fail(ACL_ERROR_INVALID_PARAM, "no such description");
  delete description;
  return ACL_SUCCESS;
}

aclError aclmdlGetDesc(aclmdlDesc* description, uint32_t id) {
  ENTER(true);
  const auto it = g.models.find(id);
  if (it == g.models.end()) return Fail(ACL_ERROR_INVALID_MODEL_ID, "no such model");
  description->model = it->second;
  return ACL_SUCCESS;
}

size_t aclmdlGetNumInputs(aclmdlDesc* d) { return d->model->graph->inputs().size() + (d->model->gears.empty() ? 0 : 1); }
size_t aclmdlGetNumOutputs(aclmdlDesc* d) { return d->model->graph->outputs().size(); }

size_t aclmdlGetInputSizeByIndex(aclmdlDesc* d, size_t i) {
  return IsSelector(d, i) ? kSelectorBytes : ByteSize(*d->model, d->model->graph->input(i));
}
size_t aclmdlGetOutputSizeByIndex(aclmdlDesc* d, size_t i) { return ByteSize(*d->model, d->model->graph->output(i)); }

aclError aclmdlGetInputDimsV2(const aclmdlDesc* d, size_t i, aclmdlIODims* dims) {
  ENTER(true);
  Dims(*d->model, d->model->graph->input(i), -1, dims);
  return ACL_SUCCESS;
}

aclError aclmdlGetOutputDims(const aclmdlDesc* d, size_t i, aclmdlIODims* dims) {
  ENTER(true);
  Dims(*d->model, d->model->graph->output(i), static_cast<int64_t>(d->model->largest()), dims);
  return ACL_SUCCESS;
}

aclDataType aclmdlGetInputDataType(const aclmdlDesc* d, size_t i) {
  return TypeOf(d->model->graph->input(i).get_element_type());
}
aclDataType aclmdlGetOutputDataType(const aclmdlDesc* d, size_t i) {
  return TypeOf(d->model->graph->output(i).get_element_type());
}
const char* aclmdlGetInputNameByIndex(const aclmdlDesc* d, size_t i) {
  return IsSelector(d, i) ? ACL_DYNAMIC_TENSOR_NAME : d->model->input_names[i].c_str();
}
const char* aclmdlGetOutputNameByIndex(const aclmdlDesc* d, size_t i) {
  return d->model->output_names[i].c_str();
}

aclError aclmdlGetInputIndexByName(const aclmdlDesc* d, const char* name, size_t* index) {
  ENTER(true);
  const size_t count = aclmdlGetNumInputs(const_cast<aclmdlDesc*>(d));
  for (*index = 0; *index < count; ++*index) {
    if (std::strcmp(aclmdlGetInputNameByIndex(d, *index), name) == 0) return ACL_SUCCESS;
  }
  return Fail(ACL_ERROR_INVALID_PARAM, "no such input");
}

aclError aclmdlGetDynamicBatch(const aclmdlDesc* d, aclmdlBatch* batch) {
  ENTER(true);
  batch->batchCount = d->model->gears.size();
  std::copy(d->model->gears.begin(), d->model->gears.end(), batch->batch);
  return ACL_SUCCESS;
}

aclError aclmdlSetDynamicBatchSize(uint32_t id, aclmdlDataset* dataset, size_t index, uint64_t batch) {
  ENTER(true);
  const auto& gears = g.models.at(id)->gears;
  if (std::find(gears.begin(), gears.end(), batch) == gears.end() || index >= dataset->buffers.size()) {
    return Fail(ACL_ERROR_INVALID_PARAM, "not one of the model's batches, or not its input for them");
  }
  dataset->batch = batch;  // for one run
  return ACL_SUCCESS;
}

aclmdlDataset* aclmdlCreateDataset() {
  auto* dataset = new aclmdlDataset();
  g.datasets.insert(dataset);
  return dataset;
}

aclError aclmdlDestroyDataset(const aclmdlDataset* dataset) {
  ENTER(true);
  if (g.datasets.erase(dataset) == 0) return Fail(ACL_ERROR_INVALID_PARAM, "no such data set");
  delete dataset;
  return ACL_SUCCESS;
}

aclError aclmdlAddDatasetBuffer(aclmdlDataset* dataset, aclDataBuffer* buffer) {
  ENTER(true);
  dataset->buffers.push_back(buffer);
  return ACL_SUCCESS;
}

aclDataBuffer* aclCreateDataBuffer(void* memory, size_t size) {
  auto* buffer = new aclDataBuffer{memory, size};
  g.buffers.insert(buffer);
  return buffer;
}

aclError aclDestroyDataBuffer(const aclDataBuffer* buffer) {
  ENTER(true);
  if (g.buffers.erase(buffer) == 0) return Fail(ACL_ERROR_INVALID_PARAM, "no such buffer");
  delete buffer;
  return ACL_SUCCESS;
}

void* aclGetDataBufferAddr(const aclDataBuffer* buffer) { return buffer->memory; }

aclError aclmdlExecute(uint32_t id, const aclmdlDataset* in, aclmdlDataset* out) {
  ENTER(true);
  Model& model = *g.models.at(id);
  if (!model.gears.empty() && in->batch == 0) return Fail(ACL_ERROR_INVALID_PARAM, "the batch was not set");
  const size_t inputs = model.graph->inputs().size() + (model.gears.empty() ? 0 : 1);
  if (in->buffers.size() != inputs || out->buffers.size() != model.graph->outputs().size()) {
    return Fail(ACL_ERROR_INVALID_PARAM, "not a buffer for each input and output");
  }
  for (const auto* dataset : {in, static_cast<const aclmdlDataset*>(out)}) {
    for (const aclDataBuffer* buffer : dataset->buffers) {
      if (Find(buffer->memory, buffer->size) == g.memory.end()) {
        return Fail(ACL_ERROR_INVALID_PARAM, "a buffer is not device memory");
      }
    }
  }
  try {
    auto compiled = model.compiled.find(in->batch);
    if (compiled == model.compiled.end()) {
      const auto graph = model.graph->clone();
      if (in->batch != 0) {
        auto shape = graph->input(0).get_partial_shape();
        shape[0] = static_cast<int64_t>(in->batch);
        graph->reshape(shape);
      }
      const auto precision = ov::hint::inference_precision(ov::element::f32);
      compiled = model.compiled.emplace(in->batch, g.core->compile_model(graph, "CPU", precision)).first;
    }
    const Unlocked unlocked;
    auto request = compiled->second.create_infer_request();
    const auto port = compiled->second.input();
    request.set_input_tensor(ov::Tensor(port.get_element_type(), port.get_shape(), in->buffers[0]->memory));
    request.infer();
    for (size_t i = 0; i < out->buffers.size(); ++i) {
      const ov::Tensor tensor = request.get_output_tensor(i);
      if (tensor.get_byte_size() > out->buffers[i]->size) {
        return Fail(ACL_ERROR_MODEL_OUTPUT_NOT_MATCH, "an output is larger than its buffer");
      }
      std::memcpy(out->buffers[i]->memory, tensor.data(), tensor.get_byte_size());
    }
    return ACL_SUCCESS;
  } catch (const std::exception& error) {
    return Fail(ACL_ERROR_INTERNAL_ERROR, error.what());
  }
}

}  // extern "C"

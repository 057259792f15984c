# MindSpore Lite at MSLITE_ROOT, LITE_HOME or MS_LITE_HOME, and nowhere else: an unpacked package of its releases, or the
# folder mindspore_lite of a wheel, whose library has another name.
set(_roots "${MSLITE_ROOT}" "$ENV{LITE_HOME}" "$ENV{MS_LITE_HOME}")
find_path(MindSporeLite_INCLUDE_DIR include/api/model.h PATHS ${_roots} PATH_SUFFIXES runtime . NO_DEFAULT_PATH)
find_library(MindSporeLite_LIBRARY NAMES mindspore-lite mindspore-extendrt_python
  PATHS ${_roots} PATH_SUFFIXES runtime/lib lib NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MindSporeLite REQUIRED_VARS MindSporeLite_LIBRARY MindSporeLite_INCLUDE_DIR)
if(MindSporeLite_FOUND AND NOT TARGET MindSporeLite::MindSporeLite)
  add_library(MindSporeLite::MindSporeLite UNKNOWN IMPORTED)
  set_target_properties(MindSporeLite::MindSporeLite PROPERTIES
    IMPORTED_LOCATION "${MindSporeLite_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${MindSporeLite_INCLUDE_DIR}")
  # The library names others beside it without saying where. DT_RPATH, unlike DT_RUNPATH, also holds for these.
  cmake_path(GET MindSporeLite_LIBRARY PARENT_PATH _folder)
  set(_folders "${_folder}" "${_folder}/../third_party/dnnl" "${_folder}/../third_party/glog"
    "${_folder}/../../tools/converter/lib")
  target_link_options(MindSporeLite::MindSporeLite INTERFACE "LINKER:--disable-new-dtags")
  foreach(_each IN LISTS _folders)
    if(IS_DIRECTORY "${_each}")
      cmake_path(NORMAL_PATH _each)
      target_link_options(MindSporeLite::MindSporeLite INTERFACE "LINKER:-rpath,${_each}")
    endif()
  endforeach()
endif()

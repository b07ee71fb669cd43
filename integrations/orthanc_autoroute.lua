-- Orthanc: {"LuaScripts": ["orthanc_autoroute.lua"]}. Sends every complete study for analysis; the
-- service pulls it by WADO-RS and stores the results by STOW-RS, so it needs WSCXR_PACS_URL and so
-- on. The results complete the study once more; the service then finds nothing left to do.
local url = os.getenv('WSCXR_URL') or 'http://127.0.0.1:8000'
local key = os.getenv('WSCXR_API_KEY')

function OnStableStudy(studyId, tags, metadata)
  local headers = {}
  if key then headers['X-API-Key'] = key end
  -- The service answers at once with a job, so Orthanc does not wait.
  HttpPost(url .. '/v1/studies/' .. tags['StudyInstanceUID'] .. '/analyze', '', headers)
end

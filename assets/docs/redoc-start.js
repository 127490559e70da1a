// fonts of the system, and no others
const fonts = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
Redoc.init(
  "/openapi.json",
  {
    hideDownloadButton: false,
    theme: { typography: { fontFamily: fonts, headings: { fontFamily: fonts } } },
  },
  document.getElementById("redoc"),
);

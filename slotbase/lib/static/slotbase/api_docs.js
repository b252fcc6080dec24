"use strict";

// Swagger UI on the document that the page names. A file of our own, since the content
// security policy allows no inline script.
const place = document.getElementById("swagger-ui");
SwaggerUIBundle({
  domNode: place,
  url: place.dataset.document,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
});
